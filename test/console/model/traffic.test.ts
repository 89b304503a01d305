import { expect, it } from "vitest";
import { codeRows, isFleetFailure } from "../../../console/model/traffic.ts";
import { busyFleet } from "../support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;

it("codes are classed by their cause, the most frequent first", () => {
  expect(codeRows(busyFleet(clock).traffic).map(({ name, fleetFailure }) => [name, fleetFailure])).toEqual([
    ["rate_limited_key", false],
    ["invalid_key", false],
    ["overloaded", true],
    ["upstream_failed", true],
  ]);
  expect(isFleetFailure("a_future_code")).toBe(true);
});
