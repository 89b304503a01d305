// The ledger under everything that happens to a link: batches split differently, sent twice, overtaken, torn in the middle
// of their booking, from two boxes with two epochs each. In the end every call counts exactly once.
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { UsageCall } from "../../../shared/usage.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import type { Ledger } from "../../../worker/usage/ledger-object.ts";
import { NOTHING, plus, sumsOf } from "../../../worker/usage/booking.ts";
import { call, newLedger, sumsBy, type LedgerStub } from "../support/usage.ts";

interface Sender {
  readonly box: string;
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
  /** As the last acknowledgement said. */
  acked: number;
  /** What was on its way when a link broke, and may still arrive. */
  readonly stray: { readonly after: number; readonly calls: readonly UsageCall[] }[];
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
  return { box, epoch, calls, acked: 0, stray: [] };
}

/** What the sender would send now: the oldest calls it has no word of. */
function nextBatch(random: SeededRandom, { calls, acked }: Sender): UsageCall[] {
  return calls.filter(({ seq }) => seq > acked).slice(0, 1 + random.below(25));
}

/** From now on a booking breaks at a row of this table. */
async function tear(ledger: LedgerStub, table: "fresh" | "marks", after: number): Promise<void> {
  await runInDurableObject(ledger, (_, { storage }) => {
    storage.sql
      .exec(`CREATE TRIGGER torn BEFORE INSERT ON ${table} WHEN (SELECT count(*) FROM fresh) >= ${after}
      BEGIN SELECT RAISE(ABORT, 'torn'); END`);
  });
}

async function repair(ledger: LedgerStub): Promise<void> {
  await runInDurableObject(ledger, (_, { storage }) => void storage.sql.exec("DROP TRIGGER IF EXISTS torn"));
}

async function step(random: SeededRandom, ledger: LedgerStub, sender: Sender): Promise<void> {
  const stray = sender.stray.length > 0 && random.chance(0.3);
  const batch = stray ? random.pick(sender.stray) : { after: sender.acked, calls: nextBatch(random, sender) };
  if (batch.calls.length === 0) return;
  if (random.chance(0.15)) sender.stray.push(batch);
  // Within the object, so that what is torn is no line in the test's output.
  const upTo = await runInDurableObject(ledger, async (instance: Ledger) =>
    instance.apply(sender.box, sender.epoch, batch.after, batch.calls).then(
      (applied) => applied.upTo,
      () => null,
    ),
  );
  // The acknowledgement is lost with the link at times; that of a stray batch is heard as any other.
  if (upTo !== null && random.chance(0.8)) sender.acked = Math.max(sender.acked, upTo);
}

describe("the ledger", () => {
  it.each(SEEDS.slice(0, 8))("counts every call exactly once (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const ledger = newLedger();
    const senders = ["north", "south"].flatMap((box) =>
      ["one", "two"].map((epoch) => senderOf(random, box, epoch)),
    );
    for (let round = 0; round < 120; round += 1) {
      const torn = random.chance(0.2);
      if (torn) await tear(ledger, random.pick(["fresh", "marks"]), random.below(30));
      await Promise.all(
        Array.from({ length: 1 + random.below(3) }, async () => step(random, ledger, random.pick(senders))),
      );
      if (torn) await repair(ledger);
      if (random.chance(0.05)) await runDurableObjectAlarm(ledger);
      if (random.chance(0.05)) await evictDurableObject(ledger);
    }
    for (const sender of senders)
      while (nextBatch(random, sender).length > 0)
        sender.acked = (
          await ledger.apply(sender.box, sender.epoch, sender.acked, nextBatch(random, sender))
        ).upTo;

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
