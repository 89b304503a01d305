import { describe, expect, it } from "vitest";
import { JournalFold } from "../../../origin-agent/usage/fold.ts";
import type { UsageCall } from "../../../shared/usage.ts";
import type { JournalRecord } from "../../../origin-agent/usage/record.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { callEnd, callStart, expectedCalls, someRecords } from "../support/journal-calls.ts";

function folded(records: readonly JournalRecord[]): {
  ended: UsageCall[];
  interrupted: UsageCall[];
  acknowledged: number;
} {
  const fold = new JournalFold();
  const ended = records.map((record) => fold.push(record)).filter((call) => call !== null);
  return { ended, interrupted: fold.interrupted(), acknowledged: fold.acknowledged };
}

describe("the records of an epoch add up to", () => {
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

  it("an interrupted call for each start without one, with nothing known of its tokens", () => {
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

  it("nothing for an end whose start isn't there", () => {
    expect(folded([{ t: "end", seq: 2, callId: "a", ...callEnd() }])).toMatchObject({
      ended: [],
      interrupted: [],
    });
  });

  it("one call where its start is written again at the head of the next file", () => {
    const { ended, interrupted } = folded([
      { t: "start", seq: 1, ...callStart("a") },
      { t: "start", seq: 2, ...callStart("a") },
      { t: "end", seq: 3, callId: "a", ...callEnd() },
    ]);
    expect([ended.length, interrupted.length]).toEqual([1, 0]);
  });
});

describe("over any records", () => {
  it.each(SEEDS)("every whole call is told once, and nothing else (seed %i)", (seed) => {
    const records = someRecords(new SeededRandom(seed), 400);
    const { ended, interrupted } = folded(records);
    const expected = expectedCalls(records);
    expect(ended).toEqual(expected.ended);
    expect(interrupted.map((call) => call.callId)).toEqual(expected.interrupted);
    const seqs = [...ended, ...interrupted].map((call) => call.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });

  it.each(SEEDS)(
    "a line that stands there twice, anywhere after itself, changes nothing (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      const records = someRecords(random, 200);
      const twice = records.map((record) => [record]);
      for (let copy = 0; copy < 80; copy += 1) {
        const from = random.below(records.length);
        twice[from + random.below(records.length - from)]?.push(records[from] as JournalRecord);
      }
      expect(folded(twice.flat())).toEqual(folded(records));
    },
  );

  it.each(SEEDS)("lost lines cost their own calls and invent none (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const records = someRecords(random, 200).filter(() => random.chance(0.9));
    const { ended, interrupted } = folded(records);
    const expected = expectedCalls(records);
    expect(ended).toEqual(expected.ended);
    expect(interrupted.map((call) => call.callId)).toEqual(expected.interrupted);
  });

  it.each(SEEDS)("the highest acknowledgement counts, in whatever order they came (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const marks = Array.from({ length: 10 }, () => random.below(500));
    const acks = marks.map((upTo): JournalRecord => ({ t: "ack", upTo }));
    expect(folded(acks).acknowledged).toBe(Math.max(...marks));
    // They have no number of their own: calls after them are told all the same, those of two agents alike.
    const records = someRecords(random, 50);
    expect(folded([...acks, ...records])).toMatchObject({ ended: folded(records).ended });
    expect(folded([...records, ...acks]).interrupted).toEqual(folded(records).interrupted);
  });
});
