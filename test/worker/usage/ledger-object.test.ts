// The ledger as the fleet object and the admin API call it: the real object, with its storage and its alarm.
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { DAY_MS } from "../../../shared/calendar.ts";
import { QUOTA_PUSH_MS } from "../../../shared/limits.ts";
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../../shared/usage-report.ts";
import type { Ledger } from "../../../worker/usage/ledger-object.ts";
import { stopClock } from "../support/edge.ts";
import { call, newLedger, report, sumsBy, type LedgerStub } from "../support/usage.ts";

/** Far ahead of the real clock, which triggers the platform's alarms: here only the test triggers them. */
const NOON = Date.parse("2096-11-23T12:20:00Z");

async function rowsOf(ledger: LedgerStub, table: string): Promise<number> {
  return runInDurableObject(
    ledger,
    (_, { storage }) => storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n,
  );
}

describe("the ledger", () => {
  it("books a batch once, however often it is sent, and returns the last seq each time", async () => {
    const ledger = newLedger();
    const calls = [call(3), call(5)];
    for (let time = 0; time < 3; time += 1)
      expect(await ledger.apply("north", "epoch-1", 0, calls)).toEqual({ lastSeq: 5, misdated: 0 });
    expect((await report(ledger, "key")).total).toMatchObject({ calls: 2, promptTokens: 20 });
  });

  it("keeps a last seq for each box and epoch", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    await ledger.apply("north", "epoch-2", 0, [call(1)]);
    await ledger.apply("south", "epoch-1", 0, [call(1)]);
    expect((await report(ledger, "key")).total.calls).toBe(3);
  });

  it("books nothing after a gap, and continues from the seq that it returns", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    const refused = await ledger.apply("north", "epoch-1", 4, [call(5)]);
    expect(refused).toEqual({ lastSeq: 1, misdated: 0 });
    expect(await ledger.apply("north", "epoch-1", refused.lastSeq, [call(5)])).toMatchObject({ lastSeq: 5 });
    expect((await report(ledger, "key")).total.calls).toBe(2);
  });

  it("loses nothing when it is evicted", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2)]);
    await evictDurableObject(ledger);
    expect(await ledger.apply("north", "epoch-1", 0, [call(1), call(2), call(3)])).toMatchObject({
      lastSeq: 3,
    });
    expect((await report(ledger, "key")).total.calls).toBe(3);
  });

  it("answers the same before and after rolling up, by each of the groups", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const calls = [
      call(1),
      call(2, { keyId: "key-b", model: "Model-2", agentType: "Beta", outcome: "aborted", estimated: true }),
      call(3, { startedAt: NOON - DAY_MS }),
    ];
    await ledger.apply("north", "epoch-1", 0, calls);
    const groups = ["key", "model", "agent", "day", "hour"] as const;
    const reports = async () =>
      Promise.all(groups.flatMap((by) => [report(ledger, by), report(ledger, by, { key: "key-a" })]));
    const before = await reports();
    expect(before[0]?.rows.map(({ group, calls }) => [group, calls])).toEqual([
      ["key-a", 2],
      ["key-b", 1],
    ]);
    expect(before[6]?.rows.map(({ group }) => group)).toEqual(["2096-11-22", "2096-11-23"]);
    expect(before[9]?.rows.map(({ group }) => group)).toEqual(["2096-11-22T12:00Z", "2096-11-23T12:00Z"]);
    await runDurableObjectAlarm(ledger);
    expect(await rowsOf(ledger, "recent")).toBe(0);
    expect(await reports()).toEqual(before);
    // Later calls are added to the rolled-up sums.
    await ledger.apply("north", "epoch-1", 3, [call(4)]);
    await evictDurableObject(ledger);
    expect((await sumsBy(ledger, "key"))["key-a"]?.calls).toBe(3);
  });

  it("books calls with a wrong date under the hour of their arrival, and returns their number", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const answer = await ledger.apply("north", "epoch-1", 0, [
      call(1, { startedAt: NOON + DAY_MS }),
      call(2, { startedAt: 5 }),
    ]);
    expect(answer).toEqual({ lastSeq: 2, misdated: 2 });
    expect(await sumsBy(ledger, "hour")).toMatchObject({ "2096-11-23T12:00Z": { calls: 2 } });
  });

  it("counts a thousand pairs of model and agent type separately, and the others as other", async () => {
    const ledger = newLedger();
    for (let at = 0; at < 6; at += 1)
      await ledger.apply(
        "north",
        "epoch-1",
        at * 200,
        Array.from({ length: 200 }, (_, n) => call(at * 200 + n + 1, { model: `made-up-${at}-${n}` })),
      );
    const models = await sumsBy(ledger, "model");
    expect(Object.keys(models)).toHaveLength(1_001);
    expect(models["other"]?.calls).toBe(200);
    expect((await report(ledger, "model")).total.calls).toBe(1_200);
  });
});

describe("the ledger's retention", () => {
  it("deletes hours after 90 days, days after 25 months, and the watermarks with them, step by step", async () => {
    const clock = stopClock(NOON);
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    await runDurableObjectAlarm(ledger);
    clock.to(NOON + (HOURS_KEPT_DAYS + 1) * DAY_MS);
    await ledger.apply("north", "epoch-2", 0, [call(1)]);
    await runDurableObjectAlarm(ledger);
    const all = { from: NOON - DAY_MS, to: NOON + 900 * DAY_MS };
    expect(await sumsBy(ledger, "hour", all)).not.toHaveProperty("2096-11-23T12:00Z");
    expect(await sumsBy(ledger, "day", all)).toMatchObject({ "2096-11-23": { calls: 2 } });
    expect(await sumsBy(ledger, "day", { ...all, key: "key-b" })).toMatchObject({
      "2096-11-23": { calls: 1 },
    });
    clock.to(NOON + (DAYS_KEPT_DAYS + 1) * DAY_MS);
    await runDurableObjectAlarm(ledger);
    expect(Object.keys(await sumsBy(ledger, "day", all))).toEqual(["2097-02-22"]);
    expect(await sumsBy(ledger, "day", { ...all, key: "key-b" })).toEqual({});
    expect(await rowsOf(ledger, "watermarks")).toBe(1);
  });

  it("deletes some thousand rows at a time, and continues with its alarm until none is left", async () => {
    const clock = stopClock(NOON);
    const ledger = newLedger();
    await runInDurableObject(ledger, (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO usage SELECT 'h', 'key-' || (i % 700), ${NOON} - i * 1000, 'm', 'a', 1, 1, 1, 1, 1, 1 FROM n`,
      );
    });
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    clock.to(NOON + 100 * DAY_MS);
    let rounds = 0;
    while ((await rowsOf(ledger, "usage WHERE granularity = 'h'")) > 0 && rounds < 20) {
      await runDurableObjectAlarm(ledger);
      rounds += 1;
    }
    expect(rounds).toBeGreaterThan(2);
    expect(rounds).toBeLessThan(20);
  });

  it("always has an alarm once a call was booked", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    for (let round = 0; round < 4; round += 1) {
      expect(await runDurableObjectAlarm(ledger)).toBe(true);
      const next = await runInDurableObject(ledger, async (_, { storage }) => storage.getAlarm());
      expect(next).toBeGreaterThan(NOON);
      expect(next).toBeLessThanOrEqual(NOON + DAY_MS);
    }
  });
});

describe("the quota watch", () => {
  const pushed: [string, string, number][] = [];
  /** The ledger with key objects that accept a push, or fail. */
  async function withKeys(ledger: LedgerStub, accept: (key: string) => Promise<void>): Promise<void> {
    pushed.length = 0;
    await runInDurableObject(ledger, (instance) => {
      const API_KEY = {
        getByName: (key: string) => ({
          async used(month: string, tokens: number) {
            await accept(key);
            pushed.push([key, month, tokens]);
          },
        }),
      };
      Object.assign(instance, { env: { ...env, API_KEY } });
    });
  }

  it("returns the month's total, and pushes nothing before the quota is reached: each new total was pushed", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    expect(await ledger.watch("key-a", 31)).toEqual({ month: "2096-11", tokens: 15 });
    await withKeys(ledger, async () => {});
    await ledger.apply("north", "epoch-1", 2, [call(3), call(4, { keyId: "key-b" })]);
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([]);
    await ledger.apply("north", "epoch-1", 4, [call(5)]);
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([["key-a", "2096-11", 45]]);
    await ledger.apply("north", "epoch-1", 5, [call(6)]);
    await runDurableObjectAlarm(ledger);
    expect(pushed).toHaveLength(1);
  });

  it("pushes at once when a quota is reached", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.watch("key-a", 15);
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    const next = await runInDurableObject(ledger, async (_, { storage }) => storage.getAlarm());
    expect(next).toBe(NOON);
  });

  it("pushes in the first round to 1,000 keys that reach their quotas together: 100 keys every 5 s took 50 s", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await runInDurableObject(ledger, (object: Ledger) => {
      for (let key = 0; key < 1_000; key += 1) object.watch(`key-${key}`, 30);
    });
    await withKeys(ledger, async () => {});
    const callsOf = (first: number) =>
      Array.from({ length: 200 }, (_, at) => call(first + at + 1, { keyId: `key-${(first + at) % 1_000}` }));
    for (let first = 0; first < 1_000; first += 200)
      await ledger.apply("north", "epoch-1", first, callsOf(first));
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([]);
    for (let first = 1_000; first < 2_000; first += 200)
      await ledger.apply("north", "epoch-1", first, callsOf(first));
    await runDurableObjectAlarm(ledger);
    expect(new Set(pushed.map(([key]) => key)).size).toBe(1_000);
    expect(pushed).toHaveLength(1_000);
  });

  it("pushes again after a key's object failed, also after an eviction, without delaying other keys", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    for (const key of ["key-a", "key-b"]) await ledger.watch(key, 15);
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    await withKeys(ledger, async (key) => {
      if (key === "key-a") throw new Error("restarting");
    });
    await runDurableObjectAlarm(ledger);
    expect(pushed.map(([key]) => key)).toEqual(["key-b"]);
    const next = await runInDurableObject(ledger, async (_, { storage }) => storage.getAlarm());
    expect(next).toBe(NOON + QUOTA_PUSH_MS / 2);
    await evictDurableObject(ledger);
    await withKeys(ledger, async () => {});
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(pushed.map(([key, , tokens]) => [key, tokens])).toEqual([["key-a", 15]]);
  });

  it("pushes again when another quota is reached, and when the quota is reached in another month", async () => {
    const clock = stopClock(NOON);
    const ledger = newLedger();
    await ledger.watch("key-a", 15);
    await withKeys(ledger, async () => {});
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    await runDurableObjectAlarm(ledger);
    expect(await ledger.watch("key-a", 30)).toEqual({ month: "2096-11", tokens: 15 });
    await ledger.apply("north", "epoch-1", 1, [call(2)]);
    await runDurableObjectAlarm(ledger);
    clock.to(Date.parse("2096-12-01T00:00:01Z"));
    await ledger.apply("north", "epoch-1", 2, [call(3)]);
    await runDurableObjectAlarm(ledger);
    await ledger.apply("north", "epoch-1", 3, [call(4)]);
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([
      ["key-a", "2096-11", 15],
      ["key-a", "2096-11", 30],
      ["key-a", "2096-12", 30],
    ]);
  });

  it("pushes nothing to a key that is no longer watched, or that already got the total", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    for (const key of ["key-a", "key-b"]) await ledger.watch(key, 15);
    await ledger.unwatch("key-a");
    await withKeys(ledger, async () => {});
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    expect(await ledger.watch("key-b", 10)).toEqual({ month: "2096-11", tokens: 15 });
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([]);
  });

  it("counts months in UTC", async () => {
    const clock = stopClock(Date.parse("2096-11-30T23:59:59Z"));
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    clock.to(Date.parse("2096-12-01T00:00:01Z"));
    await ledger.apply("north", "epoch-1", 1, [call(2)]);
    expect(await ledger.watch("key-a", 20)).toEqual({ month: "2096-12", tokens: 15 });
    await withKeys(ledger, async () => {});
    // Still in November.
    const late = call(3, { startedAt: Date.parse("2096-11-30T23:59:58Z") });
    await ledger.apply("north", "epoch-1", 2, [late]);
    await runDurableObjectAlarm(ledger);
    expect(pushed).toEqual([]);
  });
});
