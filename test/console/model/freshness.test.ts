import { describe, expect, it } from "vitest";
import { freshness, GIVE_UP_AFTER_MS, NO_LINK, STALE_AFTER_MS } from "../../../console/model/freshness.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);

describe("freshness", () => {
  const open = { ...NO_LINK, phase: "open", lastUpdateAt: NOW } as const;

  it("is live until an update is missing, and then shows for how long", () => {
    expect(freshness(open, NOW + STALE_AFTER_MS - 1)).toMatchObject({ stale: false, label: "live" });
    expect(freshness(open, NOW + 9_000)).toMatchObject({
      stale: true,
      text: "No update from the edge for 9 s. The stream is still open.",
    });
  });

  it("shows the reason and the time of the next attempt", () => {
    const waiting = {
      phase: "waiting",
      lastUpdateAt: NOW,
      retryAt: NOW + 11_000,
      problem: "the stream broke",
    } as const;
    expect(freshness(waiting, NOW + 8_000).text).toBe(
      "No update from the edge for 8 s (the stream broke). Next attempt in 3 s.",
    );
  });

  it("a stream is closed only after it is shown as stale", () => {
    expect(GIVE_UP_AFTER_MS).toBeGreaterThan(STALE_AFTER_MS);
  });
});
