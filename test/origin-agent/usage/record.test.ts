import { describe, expect, it } from "vitest";
import { isRecordName } from "../../../shared/usage.ts";
import { decodeLines, encodeRecord, type JournalRecord } from "../../../origin-agent/usage/record.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { callEnd, callStart, EPOCH, someRecords } from "../support/journal-calls.ts";

const bytesOf = (records: readonly JournalRecord[]): Buffer =>
  Buffer.from(records.map((record) => encodeRecord(record, EPOCH)).join(""));

describe("a journal's line", () => {
  const records: JournalRecord[] = [
    { t: "start", seq: 1, ...callStart("call-1") },
    { t: "end", seq: 2, callId: "call-1", ...callEnd({ cachedTokens: null }) },
    { t: "ack", upTo: 2 },
  ];

  it("is decoded as it was written", () => {
    expect(decodeLines(bytesOf(records), EPOCH)).toEqual({
      records,
      read: bytesOf(records).length,
      damaged: 0,
    });
  });

  it("is a checksum, a space and JSON, so it is readable", () => {
    expect(encodeRecord({ t: "ack", upTo: 7 }, EPOCH)).toMatch(/^\n[0-9a-f]{8} \{"t":"ack","upTo":7\}\n$/);
  });

  it("of another process's journal is rejected", () => {
    expect(decodeLines(bytesOf(records), "0000abcd-18-4711")).toMatchObject({ records: [], damaged: 3 });
  });

  it.each<[string, object]>([
    ["an unknown field, such as a text", { t: "ack", upTo: 1, text: "a patient's words" }],
    ["a name with a space in it", { t: "start", seq: 1, ...callStart("a b") }],
    ["a name that is too long", { t: "start", seq: 1, ...callStart("c", { agentType: "x".repeat(129) }) }],
    ["an invalid number", { t: "end", seq: 2, callId: "c", ...callEnd({ promptTokens: -1 }) }],
    ["an unknown outcome", { t: "end", seq: 2, callId: "c", ...callEnd(), outcome: "fine" }],
  ])("with %s is rejected even if its checksum is right", (_what, record) => {
    const line = Buffer.from(encodeRecord(record as JournalRecord, EPOCH));
    expect(decodeLines(line, EPOCH)).toMatchObject({ records: [], damaged: 1 });
  });

  it("can contain names but no text", () => {
    expect(["legacy_0123456789abcdef", "Qwen-0.6B", "01J:x.2"].map(isRecordName)).toEqual([true, true, true]);
    expect(["", " ", "two words", "é", "-x", "x".repeat(129), "a\nb"].some(isRecordName)).toBe(false);
  });
});

describe("a damaged journal", () => {
  it.each(SEEDS)("that is truncated yields every complete line before that (seed %i)", (seed) => {
    const records = someRecords(new SeededRandom(seed), 6);
    const bytes = bytesOf(records);
    let complete = 0;
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      while (complete < records.length && bytesOf(records.slice(0, complete + 1)).length <= cut)
        complete += 1;
      expect(decodeLines(bytes.subarray(0, cut), EPOCH).records).toEqual(records.slice(0, complete));
    }
  });

  it.each(SEEDS)("with a changed byte loses only the line of that byte (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const records = someRecords(random, 4);
    const lines = records.map((record) => Buffer.from(encodeRecord(record, EPOCH)));
    const ends = lines.map((_, at) => Buffer.concat(lines.slice(0, at + 1)).length);
    for (let place = 0; place < (ends.at(-1) ?? 0); place += 1) {
      const bytes = Buffer.concat(lines);
      // Some of the new bytes are line breaks, which split a line in two.
      const value = random.chance(0.1) ? 0x0a : random.below(256);
      const hit = bytes[place] === value ? -1 : ends.findIndex((end) => place < end);
      bytes[place] = value;
      expect(decodeLines(bytes, EPOCH).records).toEqual(records.filter((_, at) => at !== hit));
    }
  });

  it.each(SEEDS)("with noise between the lines yields only the lines (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const records = someRecords(random, 12);
    const parts = records.flatMap((record) => [
      Buffer.from(random.bytes(random.below(300))),
      Buffer.from(encodeRecord(record, EPOCH)),
    ]);
    expect(decodeLines(Buffer.concat(parts), EPOCH).records).toEqual(records);
  });
});
