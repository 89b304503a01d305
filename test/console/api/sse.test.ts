import { describe, expect, it } from "vitest";
import { EventReader } from "../../../console/api/sse.ts";
import { SeededRandom } from "../../support/seeded-random.ts";

describe("events in chunks", () => {
  const text =
    ': comment\r\n\r\nevent: fleet\r\ndata: {"a":"señor ça"}\r\n\r\ndata: one\ndata: two\n\n: ping\n\ndata: [DONE]\n\n';
  const wanted = [
    { event: "fleet", data: '{"a":"señor ça"}' },
    { event: "message", data: "one\ntwo" },
    { event: "message", data: "[DONE]" },
  ];

  it("are the same for any cut of the bytes", () => {
    const bytes = new TextEncoder().encode(text);
    for (let seed = 0; seed < 200; seed += 1) {
      const random = new SeededRandom(seed);
      const reader = new EventReader();
      const found = [];
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + random.below(9);
        found.push(...reader.push(bytes.slice(at, end)));
        at = end;
      }
      expect(found).toEqual(wanted);
    }
  });

  it("an endless event is refused", () => {
    const reader = new EventReader();
    const push = (): unknown => reader.push(new Uint8Array(1024 * 1024).fill(97));
    expect(() => Array.from({ length: 6 }, push)).toThrow("is too long");
  });
});
