// The journal over a real folder.
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
/** Epochs whose process runs, as far as the journals are told. */
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
    now: () => 1_000,
    ...options,
  });
}

/** As a kill leaves it: everything written, nothing closed. */
const kill = (epoch: string): void => void alive.delete(epoch);

/** Everything there is to tell, `limit` at a time, acknowledged as it comes. */
async function drained(journal: UsageJournal, limit = 100): Promise<string[]> {
  const told: string[] = [];
  for (;;) {
    const batch = await journal.unacknowledged(limit);
    if (batch === null) return told;
    told.push(...batch.calls.map((call) => `${batch.epoch} ${call.callId} ${call.outcome}`));
    await journal.acknowledge(batch.epoch, batch.calls.at(-1)?.seq ?? 0);
  }
}

/** The own calls that are handed out next; they are once they are on the disk, half a second after they ended. */
async function nextCalls(journal: UsageJournal): Promise<readonly string[]> {
  const batch = await until(() => journal.unacknowledged(100), "a call to be handed out");
  return batch.calls.map((call) => call.callId);
}

const files = (): string[] => readdirSync(folder).sort();
const textOf = (name: string): string => readFileSync(join(folder, name), "utf8");

describe("a usage journal", () => {
  it("has a call's start in its file when the call is dispatched, and its end when it ended", () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("call-1"));
    expect(textOf("a-1.000001.journal")).toContain('"callId":"call-1"');
    end(callEnd());
    expect(textOf("a-1.000001.journal").trim().split(/\n+/)).toHaveLength(2);
  });

  it("makes no file before the first call: an agent that keeps crashing leaves none behind", () => {
    openJournal("a-1");
    expect(() => files()).toThrow("ENOENT");
  });

  it("is readable for its user alone", () => {
    openJournal("a-1").start(callStart("call-1"));
    expect(statSync(join(folder, "a-1.000001.journal")).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it("hands out what ended, without being asked to sync, until it is acknowledged", async () => {
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

  it("books an end once, however often it is told", async () => {
    const journal = openJournal("a-1");
    const end = journal.start(callStart("x"));
    end(callEnd());
    end(callEnd({ outcome: "broken" }));
    await journal.close();
    expect(textOf("a-1.000001.journal").match(/"t":"end"/g)).toHaveLength(1);
  });

  it("tells two calls apart that came with one id, and writes no name that is none", async () => {
    const journal = openJournal("a-1");
    const words = "a patient's words";
    const calls = [
      callStart("x"),
      callStart("x"),
      callStart(words, { agentType: words, model: words, keyId: words }),
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

  it("takes any fields a caller's object has beside the known ones, and writes none of them", () => {
    const journal = openJournal("a-1");
    const extra = { prompt: "a patient's words" };
    journal.start({ ...callStart("x"), ...extra })({ ...callEnd(), ...extra });
    expect(textOf("a-1.000001.journal")).not.toContain("patient");
  });

  it("that is closed with everything acknowledged leaves no file", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.sync();
    expect(await drained(journal)).toHaveLength(1);
    await journal.close();
    expect(files()).toEqual([]);
  });

  it("that is closed with something to tell leaves it to its successor", async () => {
    const journal = openJournal("a-1");
    journal.start(callStart("x"))(callEnd());
    await journal.close();
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 x complete"]);
  });
});

describe("what a process that is gone left behind", () => {
  it("is told by its successor: ends in order, then the calls it broke off, and then removed", async () => {
    const gone = openJournal("a-1");
    const ends = ["x", "y", "z"].map((id) => gone.start(callStart(id)));
    ends[2]?.(callEnd());
    kill("a-1");
    const next = openJournal("a-2");
    expect(await next.adopt()).toEqual(["a-1"]);
    expect(await drained(next, 2)).toEqual(["a-1 z complete", "a-1 x interrupted", "a-1 y interrupted"]);
    expect(files()).toEqual([]);
  });

  it("is left alone while its process still runs, and adopted once it doesn't", async () => {
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

  it("is told again, under the same numbers, only as far as it wasn't acknowledged, if the successor dies too", async () => {
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

  it("may be found by two agents at once: both name each call the same, and neither minds the other's removal", async () => {
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

  it("with a torn last line and a damaged one gives all the others, and says how many it couldn't read", async () => {
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

  it("has other things in its folder left alone", async () => {
    openJournal("a-1").start(callStart("x"));
    kill("a-1");
    appendFileSync(join(folder, "notes.txt"), "x");
    const next = openJournal("a-2");
    await next.adopt();
    await drained(next);
    expect(files()).toEqual(["notes.txt"]);
  });
});

describe("the folder stays bounded:", () => {
  it("a full file is followed by another, and goes once its calls are acknowledged, though older ones are open", async () => {
    const journal = openJournal("a-1", { segmentBytes: 2_000 });
    const endLong = journal.start(callStart("long"));
    for (let at = 0; at < 40; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    expect(files().length).toBeGreaterThan(5);
    // Files come onto the disk one after another, and only what is there is told.
    await journal.sync();
    expect(await drained(journal, 7)).toHaveLength(40);
    expect(files().length).toBeLessThanOrEqual(2);
    endLong(callEnd());
    kill("a-1");
    const next = openJournal("a-2");
    await next.adopt();
    expect(await drained(next)).toEqual(["a-1 long complete"]);
  });

  it("past its bound new calls are served, counted as lost and said to be; ends of known calls are still taken", async () => {
    const journal = openJournal("a-1", { maxBytes: 3_000, segmentBytes: 1_000 });
    const endFirst = journal.start(callStart("first"));
    for (let at = 0; at < 20; at += 1) journal.start(callStart(`call-${at}`))(callEnd());
    expect(journal.state).toMatchObject({ state: "failing", reason: "BOUND", since: 1_000 });
    expect(journal.state.lost).toBeGreaterThan(5);
    endFirst(callEnd());
    const booked = 20 - journal.state.lost;
    await journal.sync();
    const told = await drained(journal);
    expect(told).toContain("a-1 first complete");
    expect(told).toHaveLength(booked + 1);
    expect(journal.state).toMatchObject({ state: "ok", reason: null });
    journal.start(callStart("after"))(callEnd());
    expect(await nextCalls(journal)).toEqual(["after"]);
  });

  it("what gone processes left counts too", async () => {
    const gone = openJournal("a-1");
    for (let at = 0; at < 20; at += 1) gone.start(callStart(`call-${at}`))(callEnd());
    kill("a-1");
    const next = openJournal("a-2", { maxBytes: 3_000 });
    await next.adopt();
    expect(next.state.reason).toBe("BOUND");
    await drained(next);
    expect(next.state).toMatchObject({ state: "ok", bytes: 0 });
  });
});

describe("over any course of things", () => {
  it.each(SEEDS)("every call is told exactly once, whoever dies when (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    /** What a ledger that takes batches by epoch and number has. */
    const ledger = new Map<string, string>();
    const marks = new Map<string, number>();
    const expected = new Map<string, string>();
    let open = new Map<string, ReturnType<UsageJournal["start"]>>();
    let life = 1;
    let journal = openJournal(`a-${life}`, { segmentBytes: 1_500 });
    const send = async (limit: number, answered: boolean): Promise<boolean> => {
      const batch = await journal.unacknowledged(limit);
      if (batch === null) return false;
      const mark = marks.get(batch.epoch) ?? 0;
      for (const call of batch.calls.filter((each) => each.seq > mark)) {
        expect(ledger.has(call.callId)).toBe(false);
        ledger.set(call.callId, call.outcome);
      }
      const last = batch.calls.at(-1)?.seq ?? 0;
      marks.set(batch.epoch, Math.max(mark, last));
      if (answered) await journal.acknowledge(batch.epoch, last);
      return true;
    };
    const restart = async (): Promise<void> => {
      for (const callId of open.keys()) expected.set(callId, "interrupted");
      open = new Map();
      kill(`a-${life}`);
      life += 1;
      journal = openJournal(`a-${life}`, { segmentBytes: 1_500 });
      await journal.adopt();
    };
    for (let step = 0; step < 300; step += 1) {
      const act = random.next();
      const [first] = random.shuffled([...open]);
      if (act < 0.5) open.set(`c${step}`, journal.start(callStart(`c${step}`)));
      else if (act < 0.88 && first !== undefined) {
        const outcome = random.pick(["complete", "aborted", "broken"] as const);
        first[1](callEnd({ outcome }));
        expected.set(first[0], outcome);
        open.delete(first[0]);
      } else if (act < 0.96) await send(1 + random.below(20), random.chance(0.7));
      else await restart();
    }
    await restart();
    while (await send(50, true));
    expect(ledger).toEqual(expected);
    expect(files()).toEqual([]);
  });
});
