// The budget of failed keys: typing errors pass, a search doesn't, and no key is refused for longer than a minute.
import { describe, expect, it } from "vitest";
import { NO_FAILED_KEYS, noteFailedKeys, suspectForMs } from "../../../worker/limits/failed-keys.ts";
import { FAILED_KEYS_A_MINUTE } from "../../../shared/limits.ts";
import { SeededRandom, SEEDS } from "../../support/seeded-random.ts";

const NOON = 1_790_000_000_000;

describe("failed keys", () => {
  it("are typing errors up to the budget; beyond it keys are refused until the minute ends", () => {
    const errors = noteFailedKeys(NO_FAILED_KEYS, FAILED_KEYS_A_MINUTE - 1, NOON);
    expect(suspectForMs(errors, NOON)).toBe(0);
    const search = noteFailedKeys(errors, 1, NOON + 20_000);
    expect(suspectForMs(search, NOON + 20_000)).toBe(40_000);
    expect(suspectForMs(search, NOON + 59_999)).toBe(1);
    expect(suspectForMs(search, NOON + 60_000)).toBe(0);
  });

  it("of a past minute don't count", () => {
    const errors = noteFailedKeys(NO_FAILED_KEYS, FAILED_KEYS_A_MINUTE - 1, NOON);
    expect(noteFailedKeys(errors, 1, NOON + 60_000)).toEqual({ startedAt: NOON + 60_000, count: 1 });
  });

  it.each([0, -1, Number.NaN, -Infinity])("of a count of %d are ignored", (failed) => {
    expect(noteFailedKeys(NO_FAILED_KEYS, failed, NOON)).toBe(NO_FAILED_KEYS);
  });

  it("block no key for longer than a minute, however the clock moves", () => {
    for (const seed of SEEDS) {
      const random = new SeededRandom(seed);
      let known = NO_FAILED_KEYS;
      let now = NOON;
      for (let step = 0; step < 300; step += 1) {
        now += random.chance(0.1) ? random.below(7_200_000) - 3_600_000 : random.below(5_000);
        known = noteFailedKeys(known, random.below(4), now);
        const forMs = suspectForMs(known, now);
        expect(forMs, `seed ${seed}, step ${step}`).toBeGreaterThanOrEqual(0);
        expect(forMs, `seed ${seed}, step ${step}`).toBeLessThanOrEqual(60_000);
      }
    }
  });
});
