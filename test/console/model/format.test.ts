import { describe, expect, it } from "vitest";
import { quantityText, figure, latency, share, tokens } from "../../../console/model/format.ts";

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

  it("a share stays between 0 and 1 for any input", () => {
    expect([share(30, 24), share(-1, 24), share(1, 0), share(null, 24), share(Number.NaN, 24)]).toEqual([
      1, 0, 0, 0, 0,
    ]);
  });
});
