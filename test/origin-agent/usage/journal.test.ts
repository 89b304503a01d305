// The journal in a real folder.
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  openUsageJournal,
  type JournalOptions,
  type UsageJournal,
} from "../../../origin-agent/usage/journal.ts";
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
  return openUsageJournal({
    folder,
    epoch,
    isAlive: (other) => alive.has(other),
    ...options,
  });
}

/** Simulates a kill: everything is written, nothing closed. */
const kill = (epoch: string): void => void alive.delete(epoch);

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
const textOf = (name: string): string => readFileSync(join(folder, name), "utf8");

describe("a usage journal", () => {
  it("has a call's start in its file at the dispatch, and its end at the end", () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("call-1"));
    expect(textOf("a-1.000001.journal")).toContain('"callId":"call-1"');
    end(callEnd());
    expect(textOf("a-1.000001.journal").trim().split(/\n+/)).toHaveLength(2);
  });

  it("creates no file before the first call, so an agent in a crash loop leaves none behind", () => {
    openJournal("a-1");
    expect(() => files()).toThrow("ENOENT");
  });

  it("is readable only by its user", () => {
    openJournal("a-1").start(callStart("call-1"));
    expect(statSync(join(folder, "a-1.000001.journal")).mode & 0o777).toBe(0o600);
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

  it("records an end only once", async () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("x"));
    end(callEnd());
    end(callEnd({ outcome: "broken" }));
    await journal.close();
    expect(textOf("a-1.000001.journal").match(/"t":"end"/g)).toHaveLength(1);
  });

  it("gives two calls with the same id different ones, and replaces invalid names", async () => {
    const journal = openJournal("a-1");
    const text = "a patient's words";
    const calls = [
      callStart("x"),
      callStart("x"),
      callStart(text, { agentType: text, model: text, keyId: text }),
    ];
    for (const end of calls.map((call) => journal.start(call))) end(callEnd());
    await journal.close();
    expect(textOf("a-1.000001.journal")).not.toContain("patient");
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    const batch = await next.unacknowledged(10);
    expect(batch?.calls.map((call) => call.callId)).toEqual(["x", "x.2", "call"]);
    expect(batch?.calls[2]).toMatchObject({ keyId: "other", agentType: "other", model: "other" });
  });

  it("writes no unknown fields", () => {
    const journal = openJournal("a-1");
    const extra = { prompt: "a patient's words" };
    journal.start({ ...callStart("x"), ...extra })({ ...callEnd(), ...extra });
    expect(textOf("a-1.000001.journal")).not.toContain("patient");
  });

  it("leaves no file if it is closed with everything acknowledged", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.sync();
    expect(await drained(journal)).toHaveLength(1);
    await journal.close();
    expect(files()).toEqual([]);
  });

  it("leaves calls that aren't acknowledged to its successor", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });
});

describe("the journal of a process that has exited", () => {
  it("is returned by its successor, the ended calls first, then the interrupted ones, and then removed", async () => {
    const gone = openJournal("a-1");
    const ends = ["x", "y", "z"].map((id) => gone.start(callStart(id)));
    ends[2]?.(callEnd());
    kill("a-1");
    const next = openJournal("a-2");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await drained(next, 2)).toEqual(["a-1 z complete", "a-1 x interrupted", "a-1 y interrupted"]);
    expect(files()).toEqual([]);
  });

  it("is adopted only once its process has exited", async () => {
    const old = openJournal("a-1");
    const end = old.start(callStart("x"));
    const next = openJournal("a-2");
    expect(await next.adopt()).toEqual([]);
    end(callEnd());
    kill("a-1");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await next.adopt()).toEqual([]);
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });

  it("is returned again with the same seqs, except acknowledged calls, if the successor dies too", async () => {
    const gone = openJournal("a-1");
    for (const id of ["p", "q", "r"]) gone.start(callStart(id))(callEnd());
    for (const id of ["s", "t"]) gone.start(callStart(id));
    kill("a-1");
    const second = openJournal("a-2");
    await second.adopt();
    const all = await second.unacknowledged(10);
    await second.acknowledge("a-1", all?.calls[3]?.seq ?? 0);
    kill("a-2");
    const third = openJournal("a-3");
    await third.adopt();
    expect((await third.unacknowledged(10))?.calls).toEqual(all?.calls.slice(4));
    expect(all?.calls[4]).toMatchObject({ callId: "t", outcome: "interrupted" });
  });

  it("may be adopted by two agents at once: both give each call the same seq, and either may remove it", async () => {
    const gone = openJournal("a-1");
    gone.start(callStart("x"))(callEnd());
    gone.start(callStart("y"));
    kill("a-1");
    const [left, right] = [openJournal("a-2"), openJournal("a-3")];
    await left.adopt();
    await right.adopt();
    const toRight = await right.unacknowledged(1);
    const toLeft = await left.unacknowledged(10);
    expect(toLeft?.calls[0]).toEqual(toRight?.calls[0]);
    expect(await drained(left)).toEqual(["a-1 x complete", "a-1 y interrupted"]);
    await right.acknowledge("a-1", toRight?.calls[0]?.seq ?? 0);
    expect(await drained(right)).toEqual(["a-1 y interrupted"]);
    expect(files()).toEqual([]);
  });

  it("with a torn and a damaged line yields all other lines and the number of unreadable ones", async () => {
    const gone = openJournal("a-1");
    for (const id of ["x", "y"]) gone.start(callStart(id))(callEnd());
    const path = join(folder, "a-1.000001.journal");
    appendFileSync(path, '\n00000000 {"t":"ack","upTo":9}\n');
    gone.start(callStart("z"));
    truncateSync(path, statSync(path).size - 20);
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect((await next.unacknowledged(10))?.calls.map((call) => call.callId)).toEqual(["x", "y"]);
    await next.unacknowledged(10);
    expect(next.state.damaged).toBe(2);
  });

  it("is removed without other files in its folder", async () => {
    openJournal("a-1").start(callStart("x"));
    kill("a-1");
    appendFileSync(join(folder, "notes.txt"), "x");
    const next = openJournal("a-2");
    await next.adopt();
    await drained(next);
    expect(files()).toEqual(["notes.txt"]);
  });
});

describe("the folder's size is limited:", () => {
  it("a full file is followed by another and removed once its calls are acknowledged, even if older calls are open", async () => {
    const journal = openJournal("a-1", { segmentBytes: 2_000 });
    const endLong = journal.start(callStart("long"));
    for (let at = 0; at < 40; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    expect(files().length).toBeGreaterThan(5);
    // Files are synced one after another, and only synced calls are returned.
    await journal.sync();
    expect(await drained(journal, 7)).toHaveLength(40);
    expect(files().length).toBeLessThanOrEqual(2);
    endLong(callEnd());
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 long complete"]);
  });

  it("beyond the limit new calls are served and counted as lost, and the ends of recorded calls are still written", async () => {
    const journal = openJournal("a-1", { maxBytes: 3_000, segmentBytes: 1_000 });
    const endFirst = journal.start(callStart("first"));
    for (let at = 0; at < 20; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    expect(journal.state).toMatchObject({ state: "failing", reason: "SIZE_LIMIT" });
    expect(journal.state.lost).toBeGreaterThan(5);
    endFirst(callEnd());
    const booked = 20 - journal.state.lost;
    await journal.sync();
    const lines = await drained(journal);
    expect(lines).toContain("a-1 first complete");
    expect(lines).toHaveLength(booked + 1);
    expect(journal.state).toMatchObject({ state: "ok", reason: null });
    journal.start(callStart("after"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["after"]);
  });

  it("the files of processes that have exited count too", async () => {
    const gone = openJournal("a-1");
    for (let at = 0; at < 20; at += 1) gone.start(callStart(`call-${at}`))(callEnd());
    kill("a-1");
    const next = openJournal("a-2", { maxBytes: 3_000 });
    await next.adopt();
    expect(next.state.reason).toBe("SIZE_LIMIT");
    await drained(next);
    expect(next.state).toMatchObject({ state: "ok" });
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
      let journal = openJournal(`a-${process}`, { segmentBytes: 1_500 });
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
        kill(`a-${process}`);
        process += 1;
        journal = openJournal(`a-${process}`, { segmentBytes: 1_500 });
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
        } else if (action < 0.96) await send(1 + random.below(20), random.chance(0.7));
        else await restart();
      }
      await restart();
      while (await send(50, true));
      expect(ledger).toEqual(expected);
      expect(files()).toEqual([]);
    },
  );
});
