import { describe, expect, it } from "vitest";
import {
  quantityText,
  figure,
  gib,
  latency,
  percent,
  rate,
  share,
  tokens,
} from "../../../console/model/format.ts";

describe("figures", () => {
  it("are a dash if unknown, never 0", () => {
    expect([figure(null), figure(undefined), figure(Number.NaN), latency(null)]).toEqual([
      "–",
      "–",
      "–",
      "–",
    ]);
  });

  it("are no longer than useful", () => {
    expect([latency(280), latency(1449), latency(48_000)]).toEqual(["280 ms", "1.4 s", "48 s"]);
    expect([tokens(850), tokens(12_400), tokens(3_100_000)]).toEqual(["850", "12.4 k", "3.1 M"]);
    expect([quantityText(1, "server"), quantityText(5, "server"), quantityText(50, "box", "boxes")]).toEqual([
      "one server",
      "five servers",
      "50 boxes",
    ]);
  });

  it("rates and percentages keep what matters, and an unknown one is a dash", () => {
    expect([rate(0), rate(0.004), rate(0.04), rate(3.21), rate(120.4), rate(null)]).toEqual([
      "0",
      "< 0.01",
      "0.04",
      "3.2",
      "120",
      "–",
    ]);
    expect([percent(0), percent(0.0004), percent(0.0321), percent(0.5), percent(null)]).toEqual([
      "0 %",
      "< 0.1 %",
      "3.2 %",
      "50 %",
      "–",
    ]);
  });

  it("stay short however absurd they are", () => {
    for (const absurd of [1e300, -1e300, Number.MAX_SAFE_INTEGER, 1e15])
      for (const text of [figure(absurd, 1), gib(absurd), rate(absurd), percent(absurd), latency(absurd)])
        expect(text.length).toBeLessThan(32);
  });

  it("a share stays between 0 and 1 for any input", () => {
    expect([share(30, 24), share(-1, 24), share(1, 0), share(null, 24), share(Number.NaN, 24)]).toEqual([
      1, 0, 0, 0, 0,
    ]);
  });
});
