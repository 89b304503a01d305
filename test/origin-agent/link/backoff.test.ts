import { describe, expect, it } from "vitest";
import {
  LIVED_MS,
  pauseAfter,
  pauseAfterRefusal,
  REFUSED_RETRY_MS,
} from "../../../origin-agent/link/backoff.ts";
import { LinkCore, type LinkCommand } from "../../../origin-agent/link/state-machine.ts";
import { LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS } from "../../../shared/limits.ts";

describe("the pause before the next dial", () => {
  it("doubles from the shortest to the longest, and is spread over half of itself", () => {
    expect([1, 2, 3].map((failures) => pauseAfter(failures, 1))).toEqual(
      [1, 2, 4].map((times) => times * LINK_RETRY_MIN_MS),
    );
    for (const failures of [1, 5, 20, 10_000]) {
      const longest = pauseAfter(failures, 1);
      expect(longest).toBeLessThanOrEqual(LINK_RETRY_MAX_MS);
      expect(pauseAfter(failures, 0)).toBe(longest / 2);
    }
    expect(pauseAfter(10_000, 1)).toBe(LINK_RETRY_MAX_MS);
  });

  it("is long where the edge won't have this box", () => {
    expect(pauseAfterRefusal(0)).toBeGreaterThan(LINK_RETRY_MAX_MS);
    expect(pauseAfterRefusal(1)).toBe(REFUSED_RETRY_MS);
  });

  /** How long the core waits after a link that lived for so long and then broke, the third time in a row. */
  function pauseOf(livedMs: number): number {
    const core = new LinkCore(() => 1);
    let now = 0;
    let dial = 0;
    const perform = (commands: readonly LinkCommand[]): void => {
      for (const command of commands) if (command.kind === "dial") ({ dial } = command);
    };
    perform(core.start(now));
    for (let times = 0; times < 3; times += 1) {
      perform(core.opened(dial, now));
      now += livedMs;
      perform(core.ended(dial, { kind: "closed", code: 1011 }, now));
      if (times === 2) return core.nextAt() - now;
      now = core.nextAt();
      perform(core.tick(now));
    }
    return 0;
  }

  it("begins anew after a link that lived, and not after one that broke at once", () => {
    expect(pauseOf(LIVED_MS)).toBe(LINK_RETRY_MIN_MS);
    expect(pauseOf(10)).toBe(4 * LINK_RETRY_MIN_MS);
  });
});
