import { expect, it } from "vitest";
import { loadText } from "../../../console/model/load.ts";
import { FakeFleet } from "../support/fake-fleet.ts";

const server = { state: "ready", busy: 1, slots: 2, waiting: 3, tokensPerSecond: 30.25 } as const;
const unknown = { ...server, state: "unknown", busy: 0, tokensPerSecond: null } as const;

it("the load counts only servers that an agent reports", () => {
  expect(loadText([server, { ...server, tokensPerSecond: null }])).toBe(
    "2 of 4 slots busy · 6 waiting · 30.3 tokens/s",
  );
  expect(loadText([server, unknown])).toBe(
    "1 of 2 slots busy · 3 waiting · 30.3 tokens/s · one server unknown",
  );
});

it("the load of a silent box is unknown, not 0", () => {
  expect(loadText([unknown])).toBe("slots, queue and tokens per second are unknown");
  expect(loadText([{ ...server, tokensPerSecond: null }])).toContain("– tokens/s");
  const fleet = new FakeFleet(Date.now);
  fleet.silence("box1", 60_000);
  expect(loadText(fleet.box().servers)).not.toContain("0");
});
