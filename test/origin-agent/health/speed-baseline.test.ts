import { describe, expect, it } from "vitest";
import {
  doubtSpeed,
  forgetRecent,
  isRight,
  medianOf,
  NO_SPEED,
  noteSpeed,
  type LearnedSpeed,
} from "../../../origin-agent/health/speed-baseline.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

/** Each a second after the one before. */
let now = 0;
const after = (samples: readonly number[], from: LearnedSpeed = NO_SPEED, learn = true): LearnedSpeed =>
  samples.reduce((speed, sample) => noteSpeed(speed, sample, learn, (now += 1_000)), from);

const times = (count: number, sample: number): number[] => Array.from({ length: count }, () => sample);

describe("a learned speed", () => {
  it("calls nothing usual before the eighth sample, then the median", () => {
    expect(after([10, 20, 30, 40, 50, 60, 70]).usual).toBe(null);
    expect(after([10, 20, 30, 40, 50, 60, 70, 80]).usual).toBe(40);
  });

  it("is slow after three samples in a row under a sixth, and right after three above a quarter", () => {
    const usual = after(times(8, 60));
    const slow = after(times(6, 3), usual);
    expect(after(times(5, 3), usual).slow).toBe(false);
    expect(slow).toMatchObject({ slow: true, usual: 60 });
    const back = after([60, 60], slow);
    expect(back.slow).toBe(true);
    expect(after([60], back).slow).toBe(false);
    expect(after(times(100, 12), slow).slow, "a fifth isn't right again").toBe(true);
  });

  it("never learns from slow or excluded samples", () => {
    const usual = after(times(8, 60));
    expect(after(times(500, 1), usual).usual).toBe(60);
    expect(after(times(500, 20), usual, false)).toMatchObject({ usual: 60, recent: 20 });
  });

  it("follows a change that isn't slow", () => {
    expect(after(times(64, 30), after(times(64, 60))).usual).toBe(30);
  });

  it("learns from one speed a second, so that a busy moment isn't all of its past", () => {
    let speed = after(times(8, 60));
    const learned = now;
    for (let at = learned; at < learned + 5_000; at += 20) speed = noteSpeed(speed, 40, true, at);
    expect(speed).toMatchObject({ usual: 60, past: [...times(8, 60), ...times(4, 40)] });
    expect(speed.recent).toBeCloseTo(40);
  });

  it("keeps what is usual, and nothing else, for a new process", () => {
    const slow = after(times(6, 3), after(times(8, 60)));
    expect(forgetRecent(slow)).toMatchObject({ usual: 60, recent: null, slow: false, slowInARow: 0 });
  });

  it("counts right samples from a doubt on", () => {
    const right = after(times(20, 60));
    expect(isRight(right)).toBe(true);
    expect(isRight(doubtSpeed(right))).toBe(false);
    expect(isRight(after(times(3, 60), doubtSpeed(right)))).toBe(true);
  });

  it.each(SEEDS)("stays bounded and within its samples, seed %i", (seed) => {
    const random = new SeededRandom(seed);
    let speed = NO_SPEED;
    for (let turn = 0; turn < 500; turn += 1) {
      const sample = random.pick([random.next() * 100, 0, -1, Number.NaN, Infinity]);
      speed = noteSpeed(speed, sample, random.chance(0.8), turn * 500);
      expect(speed.past.length).toBeLessThanOrEqual(64);
      for (const figure of [speed.usual, speed.recent]) {
        if (figure !== null) expect(figure > 0 && figure <= 100).toBe(true);
      }
    }
  });
});

it("a median is a value there is, and of nothing there is none", () => {
  expect([medianOf([]), medianOf([3]), medianOf([4, 1]), medianOf([9, 1, 5])]).toEqual([null, 3, 1, 5]);
});
