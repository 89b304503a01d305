import { describe, expect, it } from "vitest";
import { lineDiff } from "../../../cli/generate/line-diff.ts";

describe("a line diff", () => {
  it("marks what was removed and added, and leaves out what is far from any change", () => {
    expect(lineDiff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\ng\n")).toEqual([
      "…",
      " b",
      " c",
      "-d",
      "+D",
      " e",
      " f",
      "+g",
    ]);
  });

  it("of equal texts is one mark, of an empty one all lines", () => {
    expect(lineDiff("a\nb\n", "a\nb\n")).toEqual(["…"]);
    expect(lineDiff("", "a\nb\n")).toEqual(["+a", "+b"]);
    expect(lineDiff("a\n", "")).toEqual(["-a"]);
  });
});
