// The journal in a real folder.
import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { UsageJournal } from "../../../origin-agent/usage/journal.ts";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { until } from "../../support/until.ts";
import { callEnd, callStart } from "../support/journal-calls.ts";
import { drained, journals, nextCalls } from "./support/journals.ts";

const own = journals();

describe("a usage journal", () => {
  it("has a call's start in its file at the end of the turn, and its end at the end of its own", async () => {
    const journal = own.open("a-1");
    const end = journal.start(callStart("call-1"));
    await endOfTurn();
    expect(own.stored()).toContain("call-1");
    expect(own.stored()).not.toContain("aborted");
    end(callEnd({ outcome: "aborted" }));
    await endOfTurn();
    expect(own.stored()).toContain("aborted");
  });

  it("releases the calls of a turn when all their starts are in its file", async () => {
    const journal = own.open("a-1");
    const seen: string[] = [];
    const note = (): void => void seen.push(own.stored());
    for (const id of ["x-1", "x-2"]) journal.start(callStart(id), note);
    expect(seen).toEqual([]);
    await endOfTurn();
    expect(seen).toHaveLength(2);
    for (const stored of seen) for (const id of ["x-1", "x-2"]) expect(stored).toContain(id);
  });

  it("forgets a call that no server got, before and after its start is in the file", async () => {
    const journal = own.open("a-1");
    journal.start(callStart("x"))(null);
    const end = journal.start(callStart("y"));
    await endOfTurn();
    end(null);
    journal.start(callStart("z"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["z"]);
    await own.kill("a-1");
    const next = own.open("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 z complete"]);
  });

  it("is readable only by its user", async () => {
    own.open("a-1").start(callStart("call-1"));
    await endOfTurn();
    expect(own.files()).toEqual(["usage.sqlite", "usage.sqlite-shm", "usage.sqlite-wal"]);
    for (const name of own.files()) expect(statSync(join(own.folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(own.folder).mode & 0o777).toBe(0o700);
  });

  it("returns calls that ended, without an explicit sync, until they are acknowledged", async () => {
    const journal = own.open("a-1");
    const ends = ["x", "y", "z"].map((id) => journal.start(callStart(id)));
    ends[1]?.(callEnd());
    ends[0]?.(callEnd());
    expect(await nextCalls(journal)).toEqual(["y", "x"]);
    const again = await journal.unacknowledged(1);
    expect(again?.calls.map((call) => call.callId)).toEqual(["y"]);
    await journal.acknowledge("a-1", again?.calls[0]?.seq ?? 0);
    expect(await nextCalls(journal)).toEqual(["x"]);
  });

  it("returns what was recorded, unchanged", async () => {
    const journal = own.open("a-1");
    const start = callStart("x");
    const end = callEnd({ cachedTokens: null, completionTokens: 7, estimated: true, choices: 2 });
    journal.start(start)(end);
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toEqual([{ seq: 1, ...start, ...end }]);
  });

  it("books a call under the port and the model that answered it", async () => {
    const journal = own.open("a-1");
    journal.start(callStart("x", { port: 9101, model: "Heron-3B" }))(callEnd(), {
      port: 9103,
      model: "Wren-1B",
    });
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toMatchObject([{ port: 9103, model: "Wren-1B" }]);
  });

  it("records an end only once", async () => {
    const journal = own.open("a-1");
    const end = journal.start(callStart("x"));
    end(callEnd());
    end(callEnd({ outcome: "broken" }));
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toMatchObject([{ outcome: "complete" }]);
  });

  it("keeps two calls with the same id apart, and replaces invalid names", async () => {
    const journal = own.open("a-1");
    const text = "a patient's words";
    const calls = [
      callStart("x"),
      callStart("x"),
      callStart(text, { agentType: text, model: text, keyId: text }),
    ];
    for (const end of calls.map((call) => journal.start(call))) end(callEnd());
    await journal.sync();
    expect(own.stored()).not.toContain("patient");
    const batch = await journal.unacknowledged(10);
    expect(batch?.calls.map(({ seq, callId }) => [seq, callId])).toEqual([
      [1, "x"],
      [2, "x"],
      [3, "call"],
    ]);
    expect(batch?.calls[2]).toMatchObject({ keyId: "other", agentType: "other", model: "other" });
  });

  it("stores no unknown fields", async () => {
    const journal = own.open("a-1");
    const extra = { prompt: "a patient's words" };
    journal.start({ ...callStart("x"), ...extra })({ ...callEnd(), ...extra });
    await journal.sync();
    expect(own.stored()).not.toContain("patient");
  });

  it("leaves calls that aren't acknowledged to its successor", async () => {
    const journal = own.open("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    await own.kill("a-1");
    const next = own.open("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });

  it("moves its log into the database, so that the log stays small", async () => {
    const journal = own.open("a-1");
    const log = join(own.folder, "usage.sqlite-wal");
    for (let at = 0; at < 3_000; at += 1) {
      journal.start(callStart(`call-${at}`))(callEnd());
      await endOfTurn();
    }
    expect(statSync(log).size).toBeGreaterThan(4 * 1024 * 1024);
    await until(async () => {
      // What is written while the thread works stays in the log until it has grown by another 4 MiB.
      for (let at = 0; at < 100; at += 1) journal.start(callStart(`more-${at}`))(callEnd());
      await journal.sync();
      return statSync(log).size <= 4 * 1024 * 1024;
    }, "a smaller log");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost: 0 });
  });
});

describe("the calls of a process that has exited", () => {
  it("are returned by its successor, the ended ones first, then the interrupted ones", async () => {
    const gone = own.open("a-1");
    const ends = ["x", "y", "z"].map((id) => gone.start(callStart(id)));
    ends[2]?.(callEnd());
    await own.kill("a-1");
    const next = own.open("a-2");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await drained(next, 2)).toEqual(["a-1 z complete", "a-1 x interrupted", "a-1 y interrupted"]);
    expect(await next.adopt()).toEqual([]);
  });

  it("are adopted only once it has exited", async () => {
    const old = own.open("a-1");
    const end = old.start(callStart("x"));
    await endOfTurn();
    const next = own.open("a-2");
    expect(await next.adopt()).toEqual([]);
    end(callEnd());
    await own.kill("a-1");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await next.adopt()).toEqual([]);
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });

  it("are returned again with the same seqs, except acknowledged ones, if the successor dies too", async () => {
    const gone = own.open("a-1");
    for (const id of ["p", "q", "r"]) gone.start(callStart(id))(callEnd());
    for (const id of ["s", "t"]) gone.start(callStart(id));
    await own.kill("a-1");
    const second = own.open("a-2");
    await second.adopt();
    const all = await second.unacknowledged(10);
    await second.acknowledge("a-1", all?.calls[3]?.seq ?? 0);
    await own.kill("a-2");
    const third = own.open("a-3");
    await third.adopt();
    expect((await third.unacknowledged(10))?.calls).toEqual(all?.calls.slice(4));
    expect(all?.calls[4]).toMatchObject({ callId: "t", outcome: "interrupted" });
  });

  it("get a seq above all that the ledger has, even if it has all that ended", async () => {
    const gone = own.open("a-1");
    gone.start(callStart("x"))(callEnd());
    gone.start(callStart("y"));
    await gone.sync();
    await gone.acknowledge("a-1", 1);
    await own.kill("a-1");
    const next = own.open("a-2");
    await next.adopt();
    const [only, ...others] = (await next.unacknowledged(10))?.calls ?? [];
    expect([only?.callId, others]).toEqual(["y", []]);
    expect(only?.seq).toBeGreaterThan(1);
  });

  it("may be adopted by two agents at once: both give each call the same seq, and either may remove it", async () => {
    const gone = own.open("a-1");
    gone.start(callStart("x"))(callEnd());
    gone.start(callStart("y"));
    await own.kill("a-1");
    const [left, right] = [own.open("a-2"), own.open("a-3")];
    await Promise.all([left.adopt(), right.adopt()]);
    const toRight = await right.unacknowledged(10);
    const toLeft = await left.unacknowledged(10);
    expect(toLeft?.calls).toHaveLength(2);
    expect(toLeft?.calls).toEqual(toRight?.calls);
    await left.acknowledge("a-1", toLeft?.calls[0]?.seq ?? 0);
    expect(await drained(right)).toEqual(["a-1 y interrupted"]);
    expect(await drained(left)).toEqual([]);
  });
});

describe("two agents at once", () => {
  it("write into one file without losing a call", async () => {
    const [left, right] = [own.open("a-1"), own.open("a-2")];
    for (let at = 0; at < 200; at += 1) {
      left.start(callStart(`left-${at}`))(callEnd());
      right.start(callStart(`right-${at}`))(callEnd());
      await endOfTurn();
    }
    await Promise.all([left.sync(), right.sync()]);
    expect(await drained(left)).toEqual(Array.from({ length: 200 }, (_, at) => `a-1 left-${at} complete`));
    expect(await drained(right)).toEqual(Array.from({ length: 200 }, (_, at) => `a-2 right-${at} complete`));
  });
});

describe("random operations", () => {
  it.each(SEEDS)(
    "return every call exactly once, even if processes die at any time (seed %i)",
    async (seed) => {
      const random = new SeededRandom(seed);
      /** Outcomes in a ledger that books batches by epoch and seq. */
      const ledger = new Map<string, string>();
      const lastSeqs = new Map<string, number>();
      const expected = new Map<string, string>();
      let open = new Map<string, ReturnType<UsageJournal["start"]>>();
      let process = 1;
      let journal = own.open(`a-${process}`);
      const send = async (limit: number, answered: boolean): Promise<boolean> => {
        const batch = await journal.unacknowledged(limit);
        if (batch === null) return false;
        const booked = lastSeqs.get(batch.epoch) ?? 0;
        for (const call of batch.calls.filter((each) => each.seq > booked)) {
          expect(ledger.has(call.callId)).toBe(false);
          ledger.set(call.callId, call.outcome);
        }
        const lastSeq = batch.calls.at(-1)?.seq ?? 0;
        lastSeqs.set(batch.epoch, Math.max(booked, lastSeq));
        if (answered) await journal.acknowledge(batch.epoch, lastSeq);
        return true;
      };
      const restart = async (): Promise<void> => {
        for (const callId of open.keys()) expected.set(callId, "interrupted");
        open = new Map();
        await own.kill(`a-${process}`);
        process += 1;
        journal = own.open(`a-${process}`);
        await journal.adopt();
      };
      for (let step = 0; step < 300; step += 1) {
        const action = random.next();
        const [first] = random.shuffled([...open]);
        if (action < 0.5) open.set(`c${step}`, journal.start(callStart(`c${step}`)));
        else if (action < 0.88 && first !== undefined) {
          const outcome = random.pick(["complete", "aborted", "broken"] as const);
          first[1](callEnd({ outcome }));
          expected.set(first[0], outcome);
          open.delete(first[0]);
        } else if (action < 0.94) await send(1 + random.below(20), random.chance(0.7));
        else if (action < 0.97) await journal.sync();
        else await restart();
      }
      await restart();
      while (await send(50, true));
      expect(ledger).toEqual(expected);
    },
  );
});
