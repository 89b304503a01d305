import { describe, expect, it } from "vitest";
import { JournalFold } from "../../../origin-agent/usage/fold.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import type { JournalRecord } from "../../../origin-agent/usage/record.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { callEnd, callStart, expectedCalls, someRecords } from "../support/journal-calls.ts";

function folded(records: readonly JournalRecord[]): {
  ended: UsageCall[];
  interrupted: UsageCall[];
  ackedSeq: number;
} {
  const fold = new JournalFold();
  const ended = records.map((record) => fold.push(record)).filter((call) => call !== null);
  return { ended, interrupted: fold.interrupted(), ackedSeq: fold.ackedSeq };
}

describe("the records of an epoch yield", () => {
  it("a call for each start with an end, in the order of the ends", () => {
    const { ended } = folded([
      { t: "start", seq: 1, ...callStart("a") },
      { t: "start", seq: 2, ...callStart("b", { port: 9102 }) },
      { t: "end", seq: 3, callId: "b", ...callEnd({ outcome: "aborted", estimated: true }) },
      { t: "end", seq: 4, callId: "a", ...callEnd() },
    ]);
    expect(ended.map(({ seq, callId, outcome, port }) => [seq, callId, outcome, port])).toEqual([
      [3, "b", "aborted", 9102],
      [4, "a", "complete", 9101],
    ]);
  });

  it("an interrupted call for each start without an end, with unknown token counts", () => {
    const { interrupted } = folded([
      { t: "start", seq: 1, ...callStart("a") },
      { t: "start", seq: 2, ...callStart("b") },
      { t: "end", seq: 3, callId: "a", ...callEnd() },
    ]);
    expect(interrupted).toEqual([
      {
        ...callStart("b"),
        seq: 4,
        outcome: "interrupted",
        promptTokens: null,
        cachedTokens: null,
        completionTokens: null,
        choices: 0,
        estimated: true,
        durationMs: null,
      },
    ]);
  });

  it("nothing for an end without a start", () => {
    expect(folded([{ t: "end", seq: 2, callId: "a", ...callEnd() }])).toMatchObject({
      ended: [],
      interrupted: [],
    });
  });

  it("one call if its start is written again at the beginning of the next file", () => {
    const { ended, interrupted } = folded([
      { t: "start", seq: 1, ...callStart("a") },
      { t: "start", seq: 2, ...callStart("a") },
      { t: "end", seq: 3, callId: "a", ...callEnd() },
    ]);
    expect([ended.length, interrupted.length]).toEqual([1, 0]);
  });
});

describe("random records", () => {
  it.each(SEEDS)("yield every complete call once and nothing else (seed %i)", (seed) => {
    const records = someRecords(new SeededRandom(seed), 400);
    const { ended, interrupted } = folded(records);
    const expected = expectedCalls(records);
    expect(ended).toEqual(expected.ended);
    expect(interrupted.map((call) => call.callId)).toEqual(expected.interrupted);
    const seqs = [...ended, ...interrupted].map((call) => call.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });

  it.each(SEEDS)("yield the same with duplicates anywhere after the original (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const records = someRecords(random, 200);
    const withDuplicates = records.map((record) => [record]);
    for (let copy = 0; copy < 80; copy += 1) {
      const from = random.below(records.length);
      withDuplicates[from + random.below(records.length - from)]?.push(records[from] as JournalRecord);
    }
    expect(folded(withDuplicates.flat())).toEqual(folded(records));
  });

  it.each(SEEDS)("with lost lines lack only their calls (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const records = someRecords(random, 200).filter(() => random.chance(0.9));
    const { ended, interrupted } = folded(records);
    const expected = expectedCalls(records);
    expect(ended).toEqual(expected.ended);
    expect(interrupted.map((call) => call.callId)).toEqual(expected.interrupted);
  });

  it.each(SEEDS)("are acknowledged up to the highest acknowledgement, in any order (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const seqs = Array.from({ length: 10 }, () => random.below(500));
    const acks = seqs.map((upTo): JournalRecord => ({ t: "ack", upTo }));
    expect(folded(acks).ackedSeq).toBe(Math.max(...seqs));
    // An acknowledgement has no seq of its own, so it doesn't change the seqs of calls after it.
    const records = someRecords(random, 50);
    expect(folded([...acks, ...records])).toMatchObject({ ended: folded(records).ended });
    expect(folded([...records, ...acks]).interrupted).toEqual(folded(records).interrupted);
  });
});
