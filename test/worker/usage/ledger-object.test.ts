// The ledger as the fleet object and the admin API call it: the real object, with its storage and its alarm.
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { QUOTA_PUSH_MS } from "../../../shared/limits.ts";
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../../shared/usage-report.ts";
import { stopClock } from "../support/edge.ts";
import { call, DAY_MS, newLedger, report, sumsBy, type LedgerStub } from "../support/usage.ts";

/** Far ahead of the real clock, by which the platform rings alarms: here none rings but by the test. */
const NOON = Date.parse("2096-11-23T12:20:00Z");

async function rowsOf(ledger: LedgerStub, table: string): Promise<number> {
  return runInDurableObject(
    ledger,
    (_, { storage }) => storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n,
  );
}

describe("the ledger", () => {
  it("books a batch once, however often it is told, and says the mark each time", async () => {
    const ledger = newLedger();
    const calls = [call(3), call(5)];
    for (let time = 0; time < 3; time += 1)
      expect(await ledger.apply("north", "epoch-1", 0, calls)).toEqual({ upTo: 5, misdated: 0 });
    expect((await report(ledger, "key")).total).toMatchObject({ calls: 2, promptTokens: 20 });
  });

  it("keeps the marks of boxes and of their epochs apart", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    await ledger.apply("north", "epoch-2", 0, [call(1)]);
    await ledger.apply("south", "epoch-1", 0, [call(1)]);
    expect((await report(ledger, "key")).total.calls).toBe(3);
  });

  it("books nothing past a gap, and goes on from the mark it answers with", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    const refused = await ledger.apply("north", "epoch-1", 4, [call(5)]);
    expect(refused).toEqual({ upTo: 1, misdated: 0 });
    expect(await ledger.apply("north", "epoch-1", refused.upTo, [call(5)])).toMatchObject({ upTo: 5 });
    expect((await report(ledger, "key")).total.calls).toBe(2);
  });

  it("forgets nothing when it is evicted", async () => {
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2)]);
    await evictDurableObject(ledger);
    expect(await ledger.apply("north", "epoch-1", 0, [call(1), call(2), call(3)])).toMatchObject({ upTo: 3 });
    expect((await report(ledger, "key")).total.calls).toBe(3);
  });

  it("answers alike before and after it folded what was fresh, by each of the groups", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const calls = [
      call(1),
      call(2, { keyId: "key-b", model: "Model-2", agentType: "Beta", outcome: "aborted", estimated: true }),
      call(3, { startedAt: NOON - DAY_MS }),
    ];
    await ledger.apply("north", "epoch-1", 0, calls);
    const groups = ["key", "model", "agent", "day", "hour"] as const;
    const ask = async () =>
      Promise.all(groups.flatMap((by) => [report(ledger, by), report(ledger, by, { key: "key-a" })]));
    const before = await ask();
    expect(before[0]?.rows.map(({ group, calls }) => [group, calls])).toEqual([
      ["key-a", 2],
      ["key-b", 1],
    ]);
    expect(before[6]?.rows.map(({ group }) => group)).toEqual(["2096-11-22", "2096-11-23"]);
    expect(before[9]?.rows.map(({ group }) => group)).toEqual(["2096-11-22T12:00Z", "2096-11-23T12:00Z"]);
    await runDurableObjectAlarm(ledger);
    expect(await rowsOf(ledger, "fresh")).toBe(0);
    expect(await ask()).toEqual(before);
    // And what comes after is added to what was folded.
    await ledger.apply("north", "epoch-1", 3, [call(4)]);
    await evictDurableObject(ledger);
    expect((await sumsBy(ledger, "key"))["key-a"]?.calls).toBe(3);
  });

  it("books calls of a wrong clock when they came, says how many, and counts them", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    const answer = await ledger.apply("north", "epoch-1", 0, [
      call(1, { startedAt: NOON + DAY_MS }),
      call(2, { startedAt: 5 }),
    ]);
    expect(answer).toEqual({ upTo: 2, misdated: 2 });
    expect(await sumsBy(ledger, "hour")).toMatchObject({ "2096-11-23T12:00Z": { calls: 2 } });
  });

  it("tells a thousand pairs of model and agent type apart and calls the others other", async () => {
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
  it("forgets hours after 90 days, days after 25 months, and the marks with them, step by step", async () => {
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
    expect(await rowsOf(ledger, "marks")).toBe(1);
  });

  it("forgets some thousand rows at a time and wakes again until it is through", async () => {
    const clock = stopClock(NOON);
    const ledger = newLedger();
    await runInDurableObject(ledger, (_, { storage }) => {
      storage.sql.exec(
        `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO facts SELECT 'h', 'key-' || (i % 700), ${NOON} - i * 1000, 'm', 'a', 1, 1, 1, 1, 1, 1 FROM n`,
      );
    });
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    clock.to(NOON + 100 * DAY_MS);
    let rounds = 0;
    while ((await rowsOf(ledger, "facts WHERE span = 'h'")) > 0 && rounds < 20) {
      await runDurableObjectAlarm(ledger);
      rounds += 1;
    }
    expect(rounds).toBeGreaterThan(2);
    expect(rounds).toBeLessThan(20);
  });

  it("always has an alarm set once anything was booked", async () => {
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
  const told: [string, string, number][] = [];
  /** The ledger with keys' objects that take what they are told, or don't. */
  async function withKeys(ledger: LedgerStub, answer: (key: string) => Promise<void>): Promise<void> {
    told.length = 0;
    await runInDurableObject(ledger, (instance) => {
      const API_KEY = {
        getByName: (key: string) => ({
          async used(month: string, tokens: number) {
            await answer(key);
            told.push([key, month, tokens]);
          },
        }),
      };
      Object.assign(instance, { env: { ...env, API_KEY } });
    });
  }

  it("answers with the month's total and tells a watched key's object each new one, absolute", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    expect(await ledger.watch("key-a")).toEqual({ month: "2096-11", tokens: 15 });
    await withKeys(ledger, async () => {});
    await runDurableObjectAlarm(ledger);
    expect(told).toEqual([]);
    await ledger.apply("north", "epoch-1", 2, [call(3), call(4, { keyId: "key-b" })]);
    await runDurableObjectAlarm(ledger);
    expect(told).toEqual([["key-a", "2096-11", 30]]);
    await runDurableObjectAlarm(ledger);
    expect(told).toHaveLength(1);
  });

  it("tells again where a key's object didn't take it, also after an eviction, and starves no other", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    for (const key of ["key-a", "key-b"]) await ledger.watch(key);
    await ledger.apply("north", "epoch-1", 0, [call(1), call(2, { keyId: "key-b" })]);
    await withKeys(ledger, async (key) => {
      if (key === "key-a") throw new Error("restarting");
    });
    await runDurableObjectAlarm(ledger);
    expect(told.map(([key]) => key)).toEqual(["key-b"]);
    await evictDurableObject(ledger);
    await withKeys(ledger, async () => {});
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(told.map(([key, , tokens]) => [key, tokens])).toEqual([["key-a", 15]]);
  });

  it("wakes within half of the time a key may be behind", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.watch("key-a");
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    const next = await runInDurableObject(ledger, async (_, { storage }) => storage.getAlarm());
    expect(next).toBe(NOON + QUOTA_PUSH_MS / 2);
  });

  it("tells nobody who isn't watched any more", async () => {
    stopClock(NOON);
    const ledger = newLedger();
    await ledger.watch("key-a");
    await ledger.unwatch("key-a");
    await withKeys(ledger, async () => {});
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    await runDurableObjectAlarm(ledger);
    expect(told).toEqual([]);
  });

  it("counts a month by UTC", async () => {
    const clock = stopClock(Date.parse("2096-11-30T23:59:59Z"));
    const ledger = newLedger();
    await ledger.apply("north", "epoch-1", 0, [call(1)]);
    clock.to(Date.parse("2096-12-01T00:00:01Z"));
    await ledger.apply("north", "epoch-1", 1, [call(2)]);
    expect(await ledger.watch("key-a")).toEqual({ month: "2096-12", tokens: 15 });
  });
});
