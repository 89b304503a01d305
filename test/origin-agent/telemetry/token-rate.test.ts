import { describe, expect, it } from "vitest";
import { SAMPLE_MS, TokenRate } from "../../../origin-agent/telemetry/token-rate.ts";

describe("a server's tokens per second", () => {
  it("are unknown before there are two samples", () => {
    const rate = new TokenRate();
    expect(rate.perSecond).toBeNull();
    rate.sample(0, 0);
    expect(rate.perSecond).toBeNull();
    rate.sample(0, SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
  });

  it("count running and ended calls once, without a jump when a call ends", () => {
    const rate = new TokenRate();
    // 30 per second: a call of 150 tokens that ends in the middle, followed by the next one.
    for (let second = 0; second <= 10; second += 1) {
      if (second === 5) rate.ended(150);
      rate.sample(second < 5 ? 30 * second : 30 * (second - 5), second * SAMPLE_MS);
    }
    expect(rate.perSecond).toBe(30);
  });

  it("cover the last ten seconds, and never fall below 0 if a call ends with fewer tokens than sampled", () => {
    const rate = new TokenRate();
    rate.ended(10_000);
    for (let second = 0; second <= 20; second += 1) rate.sample(0, second * SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
    rate.sample(50, 21 * SAMPLE_MS);
    for (let second = 22; second < 40; second += 1) rate.sample(0, second * SAMPLE_MS);
    expect(rate.perSecond).toBe(0);
  });
});
