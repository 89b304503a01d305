// Checks that the buffer returns text unchanged, wherever its bytes fall in the blocks.
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

  it("is returned unchanged, including multi-byte characters and escapes across block boundaries", () => {
    for (let shift = 0; shift < 12; shift += 1) {
      const pieces = [
        "a".repeat(shift),
        ...Array.from({ length: 400 }, (_, at) => ["ä€", "😀", "\\n", "\\u00e9"][at % 4] ?? ""),
      ];
      expect(kept(pieces)).toBe(JSON.parse(`"${pieces.join("")}"`));
    }
  });

  it("is returned unchanged if one piece is longer than several blocks", () => {
    const long = "Ruhe und Wärme. ".repeat(300);
    expect(kept(["x", long, "y"])).toBe(`x${long}y`);
  });
});
