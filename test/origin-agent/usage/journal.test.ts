// The journal in a real folder.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { endOfTurn } from "../../support/end-of-turn.ts";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import {
  openUsageJournal,
  type JournalOptions,
  type UsageJournal,
} from "../../../origin-agent/usage/journal.ts";
import { JournalTables } from "../../../origin-agent/usage/tables.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { until } from "../../support/until.ts";
import { callEnd, callStart } from "../support/journal-calls.ts";

let folder = "";
/** Epochs whose process is running, according to `isAlive`. */
let alive = new Set<string>();

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "isha-journal-")), "journals");
  alive = new Set();
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

function openJournal(epoch: string, options: Partial<JournalOptions> = {}): UsageJournal {
  alive.add(epoch);
  const journal = openUsageJournal({
    folder,
    epoch,
    isAlive: (other) => alive.has(other),
    isAlone: () => true,
    ...options,
  });
  onTestFinished(() => journal.close());
  return journal;
}

/** Simulates a kill at the end of a turn: everything is in the kernel, nothing closed. */
async function kill(epoch: string): Promise<void> {
  await endOfTurn();
  alive.delete(epoch);
}

/** Reads and acknowledges all calls, `limit` at a time. */
async function drained(journal: UsageJournal, limit = 100): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const batch = await journal.unacknowledged(limit);
    if (batch === null) return lines;
    lines.push(...batch.calls.map((call) => `${batch.epoch} ${call.callId} ${call.outcome}`));
    await journal.acknowledge(batch.epoch, batch.calls.at(-1)?.seq ?? 0);
  }
}

/** The next calls; they are returned once they are on the disk, half a second after they ended. */
async function nextCalls(journal: UsageJournal): Promise<readonly string[]> {
  const batch = await until(() => journal.unacknowledged(100), "a call to be returned");
  return batch.calls.map((call) => call.callId);
}

const files = (): string[] => readdirSync(folder).sort();
/** Everything that is on the disk. */
const stored = (): string =>
  files()
    .map((name) => readFileSync(join(folder, name), "latin1"))
    .join("");

describe("a usage journal", () => {
  it("has a call's start in its file at the end of the turn, and its end at the end of its own", async () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("call-1"));
    await endOfTurn();
    expect(stored()).toContain("call-1");
    expect(stored()).not.toContain("aborted");
    end(callEnd({ outcome: "aborted" }));
    await endOfTurn();
    expect(stored()).toContain("aborted");
  });

  it("is readable only by its user", async () => {
    openJournal("a-1").start(callStart("call-1"));
    await endOfTurn();
    expect(files()).toEqual(["usage.sqlite", "usage.sqlite-shm", "usage.sqlite-wal"]);
    for (const name of files()) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it("returns calls that ended, without an explicit sync, until they are acknowledged", async () => {
    const journal = openJournal("a-1");
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
    const journal = openJournal("a-1");
    const start = callStart("x");
    const end = callEnd({ cachedTokens: null, completionTokens: 7, estimated: true, choices: 2 });
    journal.start(start)(end);
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toEqual([{ seq: 1, ...start, ...end }]);
  });

  it("books a call under the port and the model that answered it", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x", { port: 9101, model: "Heron-3B" }))(callEnd(), {
      port: 9103,
      model: "Wren-1B",
    });
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toMatchObject([{ port: 9103, model: "Wren-1B" }]);
  });

  it("records an end only once", async () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("x"));
    end(callEnd());
    end(callEnd({ outcome: "broken" }));
    await journal.sync();
    expect((await journal.unacknowledged(10))?.calls).toMatchObject([{ outcome: "complete" }]);
  });

  it("keeps two calls with the same id apart, and replaces invalid names", async () => {
    const journal = openJournal("a-1");
    const text = "a patient's words";
    const calls = [
      callStart("x"),
      callStart("x"),
      callStart(text, { agentType: text, model: text, keyId: text }),
    ];
    for (const end of calls.map((call) => journal.start(call))) end(callEnd());
    await journal.sync();
    expect(stored()).not.toContain("patient");
    const batch = await journal.unacknowledged(10);
    expect(batch?.calls.map(({ seq, callId }) => [seq, callId])).toEqual([
      [1, "x"],
      [2, "x"],
      [3, "call"],
    ]);
    expect(batch?.calls[2]).toMatchObject({ keyId: "other", agentType: "other", model: "other" });
  });

  it("stores no unknown fields", async () => {
    const journal = openJournal("a-1");
    const extra = { prompt: "a patient's words" };
    journal.start({ ...callStart("x"), ...extra })({ ...callEnd(), ...extra });
    await journal.sync();
    expect(stored()).not.toContain("patient");
  });

  it("leaves calls that aren't acknowledged to its successor", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    await kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });

  it("moves its log into the database, so that the log stays small", async () => {
    const journal = openJournal("a-1");
    const log = join(folder, "usage.sqlite-wal");
    for (let at = 0; at < 3_000; at += 1) {
      journal.start(callStart(`call-${at}`))(callEnd());
      await endOfTurn();
    }
    expect(statSync(log).size).toBeGreaterThan(4 * 1024 * 1024);
    await until(async () => {
      journal.start(callStart("more"))(callEnd());
      await journal.sync();
      return statSync(log).size <= 4 * 1024 * 1024;
    }, "a smaller log");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost: 0 });
  });
});

describe("the calls of a process that has exited", () => {
  it("are returned by its successor, the ended ones first, then the interrupted ones", async () => {
    const gone = openJournal("a-1");
    const ends = ["x", "y", "z"].map((id) => gone.start(callStart(id)));
    ends[2]?.(callEnd());
    await kill("a-1");
    const next = openJournal("a-2");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await drained(next, 2)).toEqual(["a-1 z complete", "a-1 x interrupted", "a-1 y interrupted"]);
    expect(await next.adopt()).toEqual([]);
  });

  it("are adopted only once it has exited", async () => {
    const old = openJournal("a-1");
    const end = old.start(callStart("x"));
    await endOfTurn();
    const next = openJournal("a-2");
    expect(await next.adopt()).toEqual([]);
    end(callEnd());
    await kill("a-1");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await next.adopt()).toEqual([]);
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });

  it("are returned again with the same seqs, except acknowledged ones, if the successor dies too", async () => {
    const gone = openJournal("a-1");
    for (const id of ["p", "q", "r"]) gone.start(callStart(id))(callEnd());
    for (const id of ["s", "t"]) gone.start(callStart(id));
    await kill("a-1");
    const second = openJournal("a-2");
    await second.adopt();
    const all = await second.unacknowledged(10);
    await second.acknowledge("a-1", all?.calls[3]?.seq ?? 0);
    await kill("a-2");
    const third = openJournal("a-3");
    await third.adopt();
    expect((await third.unacknowledged(10))?.calls).toEqual(all?.calls.slice(4));
    expect(all?.calls[4]).toMatchObject({ callId: "t", outcome: "interrupted" });
  });

  it("get a seq above all that the ledger has, even if it has all that ended", async () => {
    const gone = openJournal("a-1");
    gone.start(callStart("x"))(callEnd());
    gone.start(callStart("y"));
    await gone.sync();
    await gone.acknowledge("a-1", 1);
    await kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    const [only, ...others] = (await next.unacknowledged(10))?.calls ?? [];
    expect([only?.callId, others]).toEqual(["y", []]);
    expect(only?.seq).toBeGreaterThan(1);
  });

  it("may be adopted by two agents at once: both give each call the same seq, and either may remove it", async () => {
    const gone = openJournal("a-1");
    gone.start(callStart("x"))(callEnd());
    gone.start(callStart("y"));
    await kill("a-1");
    const [left, right] = [openJournal("a-2"), openJournal("a-3")];
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
    const [left, right] = [openJournal("a-1"), openJournal("a-2")];
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

describe("an agent that is frozen in a transaction", () => {
  const frozen = (): DatabaseSync => {
    const other = new DatabaseSync(join(folder, "usage.sqlite"));
    onTestFinished(() => other.close());
    other.exec("BEGIN IMMEDIATE");
    return other;
  };

  it("stops no call of another one, whose records wait in memory", async () => {
    const journal = openJournal("a-1");
    const other = frozen();
    journal.start(callStart("x"))(callEnd());
    await endOfTurn();
    expect(journal.state.state).toBe("ok");
    expect(await journal.unacknowledged(10)).toBeNull();
    other.exec("ROLLBACK");
    expect(await nextCalls(journal)).toEqual(["x"]);
  });

  it("is reported once that has taken long", async () => {
    const journal = openJournal("a-1");
    frozen();
    journal.start(callStart("x"))(callEnd());
    await until(() => journal.state.reason === "SQLITE_5", "a report");
  });
});

describe("a corrupt file", () => {
  const path = (): string => join(folder, "usage.sqlite");
  async function corrupt(): Promise<string> {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    await kill("a-1");
    writeFileSync(path(), "no database any more, ".repeat(500));
    return path();
  }

  it("is set aside at the start, with a report, and the journal goes on", async () => {
    await corrupt();
    const aside: string[] = [];
    const journal = openJournal("a-2", { onSetAside: (file) => aside.push(file) });
    expect(journal.state.state).toBe("ok");
    expect(aside).toEqual([`${path()}.corrupt`]);
    expect(readFileSync(`${path()}.corrupt`, "utf8")).toContain("no database any more");
    journal.start(callStart("y"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["y"]);
  });

  it("of which only one page is damaged is set aside too", async () => {
    const journal = openJournal("a-1");
    for (let at = 0; at < 100; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    await journal.close();
    await kill("a-1");
    const bytes = readFileSync(path());
    writeFileSync(path(), bytes.fill(0xa5, 8_192, 9_216));
    const aside: string[] = [];
    openJournal("a-2", { onSetAside: (file) => aside.push(file) });
    expect(aside).toHaveLength(1);
  });

  it("is kept once", async () => {
    writeFileSync(`${await corrupt()}.corrupt`, "an earlier one");
    const journal = openJournal("a-2");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost: 0 });
    expect(readFileSync(`${path()}.corrupt`, "utf8")).toContain("no database any more");
    expect(files().filter((name) => name.includes("corrupt"))).toHaveLength(1);
  });

  it("is left alone while another agent runs: the calls wait in memory until that has exited", async () => {
    await corrupt();
    let isAlone = false;
    const journal = openJournal("a-2", { isAlone: () => isAlone });
    journal.start(callStart("y"))(callEnd());
    await endOfTurn();
    expect(journal.state).toEqual({ state: "failing", reason: "SQLITE_26", lost: 0 });
    expect(files().filter((name) => name.includes("corrupt"))).toEqual([]);
    isAlone = true;
    await until(() => journal.state.state === "ok", "a new file");
    expect(await nextCalls(journal)).toEqual(["y"]);
  });
});

describe("the journal's size is limited:", () => {
  it("beyond the limit new calls are served and counted as lost, and the ends of recorded calls are still written", async () => {
    const journal = openJournal("a-1", { maxBytes: 40_000 });
    const endFirst = journal.start(callStart("first"));
    let started = 0;
    while (journal.state.lost === 0) {
      for (let at = 0; at < 20; at += 1) journal.start(callStart(`call-${++started}`))(callEnd());
      await endOfTurn();
    }
    const { lost } = journal.state;
    expect(journal.state).toMatchObject({ state: "failing", reason: "ENOSPC" });
    endFirst(callEnd());
    const lines: string[] = [];
    await until(async () => {
      lines.push(...(await drained(journal)));
      return lines.length === started + 1 - lost;
    }, "all calls that aren't lost");
    expect(lines).toContain("a-1 first complete");
    expect(journal.state).toEqual({ state: "ok", reason: null, lost });
    journal.start(callStart("after"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["after"]);
  });

  it("the log too, even if no thread moves it into the database", async () => {
    const maxLogBytes = 64 * 1024 * 1024;
    openJournal("a-1");
    const tables = new JournalTables(join(folder, "usage.sqlite"), 2 * maxLogBytes);
    const log = join(folder, "usage.sqlite-wal");
    for (let seq = 0; seq < 40_000; seq += 1)
      tables.transaction(() => tables.insert("a-2", seq, callStart("x"), callEnd()));
    tables.close();
    expect(statSync(log).size).toBeLessThan(maxLogBytes + 1024 * 1024);
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
      let journal = openJournal(`a-${process}`);
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
        await kill(`a-${process}`);
        process += 1;
        journal = openJournal(`a-${process}`);
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
