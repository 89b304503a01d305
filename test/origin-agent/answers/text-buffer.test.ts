// That kept text comes back as it went in, wherever its bytes fall among the blocks.
import { describe, expect, it } from "vitest";
import { TextBuffer } from "../../../origin-agent/answers/text-buffer.ts";

function kept(pieces: readonly string[]): string {
  const text = new TextBuffer();
  for (const piece of pieces) {
    const event = Buffer.from(`data: ${piece} more`);
    text.push(event, 6, event.length - 5);
  }
  return text.text();
}

describe("the text of an answer", () => {
  it("is empty before the first token", () => {
    expect(new TextBuffer().text()).toBe("");
  });

  it("comes back whole, characters of several bytes and escapes across the ends of blocks included", () => {
    for (let shift = 0; shift < 12; shift += 1) {
      const pieces = [
        "a".repeat(shift),
        ...Array.from({ length: 400 }, (_, at) => ["ä€", "😀", "\\n", "\\u00e9"][at % 4] ?? ""),
      ];
      expect(kept(pieces)).toBe(JSON.parse(`"${pieces.join("")}"`));
    }
  });

  it("comes back whole where one piece is longer than several blocks", () => {
    const long = "Ruhe und Wärme. ".repeat(300);
    expect(kept(["x", long, "y"])).toBe(`x${long}y`);
  });
});
