// The ledger under everything that can happen to a link: batches are split differently, sent twice, overtaken, and fail
// in the middle of their booking, from two boxes with two epochs each. In the end every call counts exactly once.
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { UsageCall } from "../../../shared/usage.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { ApiKey } from "../../../worker/keys/api-key-object.ts";
import type { Ledger } from "../../../worker/usage/ledger-object.ts";
import { NOTHING, plus, sumsOf } from "../../../worker/usage/booking.ts";
import { call, newLedger, sumsBy, type LedgerStub } from "../support/usage.ts";

interface Sender {
  readonly box: string;
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
  /** From the last acknowledgement. */
  ackedSeq: number;
  /** Batches that were in flight when a link broke, and may still arrive. */
  readonly stray: { readonly ackedSeq: number; readonly calls: readonly UsageCall[] }[];
}

function senderOf(random: SeededRandom, box: string, epoch: string): Sender {
  let seq = 0;
  const calls = Array.from({ length: 30 + random.below(120) }, () => {
    seq += 1 + random.below(3);
    return call(seq, {
      keyId: random.pick(["key-a", "key-b", "key-c"]),
      model: random.pick(["Model-1", "Model-2"]),
      agentType: random.pick(["Alpha", "Beta"]),
      startedAt: Date.now() - random.below(36 * 3_600_000),
      outcome: random.pick(["complete", "aborted", "interrupted"]),
      promptTokens: random.chance(0.1) ? null : random.below(2_000),
      completionTokens: random.below(900),
      estimated: random.chance(0.2),
    });
  });
  return { box, epoch, calls, ackedSeq: 0, stray: [] };
}

/** The sender's next batch: the oldest calls that are not acknowledged. */
function nextBatch(random: SeededRandom, { calls, ackedSeq }: Sender): UsageCall[] {
  return calls.filter(({ seq }) => seq > ackedSeq).slice(0, 1 + random.below(25));
}

/** From now on a booking fails at a row of this table. */
async function tear(ledger: LedgerStub, table: "recent" | "watermarks", rows: number): Promise<void> {
  await runInDurableObject(ledger, (_, { storage }) => {
    storage.sql
      .exec(`CREATE TRIGGER torn BEFORE INSERT ON ${table} WHEN (SELECT count(*) FROM recent) >= ${rows}
      BEGIN SELECT RAISE(ABORT, 'torn'); END`);
  });
}

async function repair(ledger: LedgerStub): Promise<void> {
  await runInDurableObject(ledger, (_, { storage }) => void storage.sql.exec("DROP TRIGGER IF EXISTS torn"));
}

async function step(random: SeededRandom, ledger: LedgerStub, sender: Sender): Promise<void> {
  const stray = sender.stray.length > 0 && random.chance(0.3);
  const batch = stray
    ? random.pick(sender.stray)
    : { ackedSeq: sender.ackedSeq, calls: nextBatch(random, sender) };
  if (batch.calls.length === 0) return;
  if (random.chance(0.15)) sender.stray.push(batch);
  // Within the object, so that the failure isn't printed in the test's output.
  const lastSeq = await runInDurableObject(ledger, async (instance: Ledger) =>
    instance.apply(sender.box, sender.epoch, batch.ackedSeq, batch.calls).then(
      (applied) => applied.lastSeq,
      () => null,
    ),
  );
  // Some acknowledgements are lost with the link; that of a stray batch arrives like any other.
  if (lastSeq !== null && random.chance(0.8)) sender.ackedSeq = Math.max(sender.ackedSeq, lastSeq);
}

/** The totals that key objects get until the test ends; some fail to accept theirs. */
function pushedTotals(random: SeededRandom): number[] {
  const totals: number[] = [];
  const spy = vi.spyOn(ApiKey.prototype, "used").mockImplementation((_, tokens) => {
    if (random.chance(0.3)) throw new Error("restarting");
    totals.push(tokens);
  });
  onTestFinished(() => spy.mockRestore());
  return totals;
}

describe("a quota", () => {
  it.each(SEEDS.slice(0, 8))("is pushed once it is reached, and never before (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const pushed = pushedTotals(random);
    const ledger = newLedger();
    const quota = 1 + random.below(60_000);
    const sender = senderOf(random, "north", "one");
    const total = (): number =>
      sender.calls
        .filter(({ seq, keyId }) => seq <= sender.ackedSeq && keyId === "key-a")
        .reduce((sum, each) => sum + (each.promptTokens ?? 0) + (each.completionTokens ?? 0), 0);
    // All calls in one month, far ahead of the real clock.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse("2096-11-23T12:20:00Z") });
    onTestFinished(() => void vi.useRealTimers());
    const calls = sender.calls.map((each) => ({ ...each, startedAt: Date.now() }));
    expect((await ledger.watch("key-a", quota)).tokens).toBe(0);
    while (sender.ackedSeq < (calls.at(-1)?.seq ?? 0)) {
      const batch = calls.filter(({ seq }) => seq > sender.ackedSeq).slice(0, 1 + random.below(25));
      sender.ackedSeq = (await ledger.apply("north", "one", sender.ackedSeq, batch)).lastSeq;
      if (total() < quota) expect(pushed).toEqual([]);
      if (random.chance(0.3)) await runDurableObjectAlarm(ledger);
      if (random.chance(0.2)) await evictDurableObject(ledger);
    }
    for (let round = 0; round < 20 && pushed.length === 0; round += 1) await runDurableObjectAlarm(ledger);
    expect(pushed).toHaveLength(total() >= quota ? 1 : 0);
    for (const tokens of pushed) expect(tokens).toBeGreaterThanOrEqual(quota);
  });
});

describe("the ledger", () => {
  it.each(SEEDS.slice(0, 8))("counts every call exactly once (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const ledger = newLedger();
    const senders = ["north", "south"].flatMap((box) =>
      ["one", "two"].map((epoch) => senderOf(random, box, epoch)),
    );
    for (let round = 0; round < 120; round += 1) {
      const torn = random.chance(0.2);
      if (torn) await tear(ledger, random.pick(["recent", "watermarks"]), random.below(30));
      await Promise.all(
        Array.from({ length: 1 + random.below(3) }, async () => step(random, ledger, random.pick(senders))),
      );
      if (torn) await repair(ledger);
      if (random.chance(0.05)) await runDurableObjectAlarm(ledger);
      if (random.chance(0.05)) await evictDurableObject(ledger);
    }
    for (const sender of senders)
      while (nextBatch(random, sender).length > 0)
        sender.ackedSeq = (
          await ledger.apply(sender.box, sender.epoch, sender.ackedSeq, nextBatch(random, sender))
        ).lastSeq;

    const calls = senders.flatMap((sender) => sender.calls);
    for (const [by, name] of [
      ["key", "keyId"],
      ["model", "model"],
      ["agent", "agentType"],
    ] as const) {
      const expected = Object.fromEntries(
        [...Map.groupBy(calls, (each) => each[name])].map(([group, each]) => [
          group,
          each.map(sumsOf).reduce(plus, NOTHING),
        ]),
      );
      expect(await sumsBy(ledger, by)).toEqual(expected);
    }
    for (const key of ["key-a", "key-b", "key-c"]) {
      const own = calls
        .filter(({ keyId }) => keyId === key)
        .map(sumsOf)
        .reduce(plus, NOTHING);
      const days = Object.values(await sumsBy(ledger, "day", { key }));
      expect(days.reduce(plus, NOTHING)).toEqual(own);
    }
  });
});
