import { describe, expect, it } from "vitest";
import { SAMPLE_MS, TokenRate } from "../../../origin-agent/telemetry/token-rate.ts";

describe("a server's tokens a second", () => {
  it("are unknown before there is a stretch of time to take them over", () => {
    const rate = new TokenRate();
    expect(rate.perSecond).toBeNull();
    rate.sample(0, 0);
    expect(rate.perSecond).toBeNull();
    rate.sample(0, SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
  });

  it("count running and ended calls once, and the end of one is no jump", () => {
    const rate = new TokenRate();
    // 30 a second: a call of 150 tokens that ends in the middle, and the next one after it.
    for (let second = 0; second <= 10; second += 1) {
      if (second === 5) rate.ended(150);
      rate.sample(second < 5 ? 30 * second : 30 * (second - 5), second * SAMPLE_MS);
    }
    expect(rate.perSecond).toBe(30);
  });

  it("forget what is ten seconds old, and never fall below nought where a call ends with less than was seen", () => {
    const rate = new TokenRate();
    rate.ended(10_000);
    for (let second = 0; second <= 20; second += 1) rate.sample(0, second * SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
    rate.sample(50, 21 * SAMPLE_MS);
    for (let second = 22; second < 40; second += 1) rate.sample(0, second * SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
  });
});
