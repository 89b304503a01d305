// The cost of queries to a full ledger: the rows that are read with 90 days of 1,000 keys, and the sums.
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { DAY_MS, HOUR_MS, monthStart } from "../../../shared/calendar.ts";
import { MAX_SPLIT_NAMES } from "../../../shared/usage-report.ts";
import type { Ledger } from "../../../worker/usage/ledger-object.ts";
import type { UsageRequest } from "../../../worker/usage/query.ts";
import { stopClock } from "../support/edge.ts";
import { call, newLedger, type LedgerStub } from "../support/usage.ts";

const KEYS = 1_000;
const DAYS = 90;
const PAIRS = 3;

/** The 90 days up to it are 6 days of August, two complete months, and 23 days of November. */
const TODAY = Date.parse("2096-11-23");
const MONTHS = 2;

/** Rows that are not in the order of their groups are read a second time, sorted. */
const SORTED = 2;

/** Further rows: each statement reads one row past its end, and the rows of `recent`. */
const ENDS = 20;

/** As if every key had made a call with each pair every day, and in each hour of the first and the last day. */
async function fill(ledger: LedgerStub, today: number): Promise<void> {
  const numbers = `WITH RECURSIVE days(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM days WHERE d < ${DAYS - 1}),
    keys(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM keys WHERE k < ${KEYS - 1}),
    hours(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM hours WHERE h < 23),
    pairs(p) AS (SELECT 0 UNION ALL SELECT p + 1 FROM pairs WHERE p < ${PAIRS - 1})`;
  const day = `${today} - d * ${DAY_MS}`;
  const sums = "1, 1, 100, 10, 50, 0";
  const months = [...new Set(Array.from({ length: DAYS }, (_, d) => monthStart(today - d * DAY_MS)))];
  await runInDurableObject(ledger, (_, { storage: { sql } }) => {
    sql.exec(
      `${numbers} INSERT INTO usage SELECT 'd', 'key-' || k, ${day}, 'm' || p, 'a' || p, ${sums} FROM days, keys, pairs`,
    );
    sql.exec(
      `${numbers} INSERT INTO usage SELECT 'h', 'key-' || k, ${day} + h * 3600000, 'm' || p, 'a' || p, ${sums} FROM days, (SELECT k FROM keys WHERE k < 20), hours, pairs`,
    );
    sql.exec(
      `${numbers} INSERT INTO rollups SELECT 'd', 'key', ${day}, 'key-' || k, 3, 3, 300, 30, 150, 0 FROM days, keys`,
    );
    sql.exec(
      `${numbers} INSERT INTO rollups SELECT 'h', 'key', ${day} + h * 3600000, 'key-' || k, 3, 3, 300, 30, 150, 0 FROM (SELECT d FROM days WHERE d IN (0, ${DAYS - 1})), hours, keys`,
    );
    for (const dimension of ["model", "agent"])
      sql.exec(
        `${numbers} INSERT INTO rollups SELECT 'd', '${dimension}', ${day}, 'n' || p, 1000, 1000, 100000, 10000, 50000, 0 FROM days, pairs`,
      );
    sql.exec(
      `${numbers} INSERT INTO rollups SELECT 'd', 'all', ${day}, '', 3000, 3000, 300000, 30000, 150000, 0 FROM days`,
    );
    sql.exec(
      `${numbers} INSERT INTO rollups SELECT 'h', 'all', ${day} + h * 3600000, '', 125, 125, 12500, 1250, 6250, 0 FROM days, hours`,
    );
    for (const month of months) {
      const days = Array.from({ length: DAYS }, (_, d) => today - d * DAY_MS).filter(
        (at) => monthStart(at) === month,
      );
      sql.exec(
        `${numbers} INSERT INTO rollups SELECT 'm', 'key', ${month}, 'key-' || k, ${3 * days.length}, 0, ${300 * days.length}, 0, 0, 0 FROM keys`,
      );
    }
  });
}

/** Rows that the ledger reads or writes, as the platform counts and bills them. */
async function rowsOf(
  ledger: LedgerStub,
  which: "rowsRead" | "rowsWritten",
  work: (object: Ledger) => unknown,
): Promise<number> {
  return runInDurableObject(ledger, async (object: Ledger, { storage }) => {
    const executed = vi.spyOn(storage.sql, "exec");
    try {
      await work(object);
      return executed.mock.results.reduce(
        (sum, { value }) => sum + (value as SqlStorageCursor<Record<string, SqlStorageValue>>)[which],
        0,
      );
    } finally {
      executed.mockRestore();
    }
  });
}

describe("a query of 90 days with 1,000 keys", () => {
  it("is answered from few rows", async () => {
    stopClock(TODAY + 12 * HOUR_MS);
    const ledger = newLedger();
    await fill(ledger, TODAY);
    const [from, to] = [TODAY - (DAYS - 1) * DAY_MS, TODAY + DAY_MS];
    const allKeys = { by: "key", key: null } as const;
    const requests: [string, UsageRequest, number][] = [
      ["by key", { ...allKeys, from, to }, SORTED * KEYS * (MONTHS + 29)],
      [
        "by key, from 13:00 to 11:00",
        { ...allKeys, from: from + 13 * HOUR_MS, to: to - 13 * HOUR_MS },
        SORTED * KEYS * (MONTHS + 27 + 22),
      ],
      [
        "by key, from 01:00 to 23:00",
        { ...allKeys, from: from + HOUR_MS, to: to - HOUR_MS },
        SORTED * KEYS * (MONTHS + 27 + 46),
      ],
      ["by model", { by: "model", key: null, from, to }, SORTED * PAIRS * (MONTHS + 29)],
      ["by day", { by: "day", key: null, from, to }, SORTED * DAYS],
      ["by hour", { by: "hour", key: null, from, to }, DAYS * 24],
      [
        "by day, split by model",
        { by: "day", split: "model", key: null, from, to },
        SORTED * (PAIRS * (MONTHS + 29) + DAYS * (1 + 2 * PAIRS)),
      ],
      [
        "by day, split by key",
        { by: "day", split: "key", key: null, from, to },
        SORTED * (KEYS * (MONTHS + 29) + DAYS * (1 + MAX_SPLIT_NAMES * PAIRS)) + MAX_SPLIT_NAMES * ENDS,
      ],
      ["one key by agent", { by: "agent", key: "key-7", from, to }, SORTED * DAYS * PAIRS],
      ["one key by hour", { by: "hour", key: "key-7", from, to }, DAYS * 24 * PAIRS],
    ];
    for (const [name, request, rows] of requests) {
      const read = await rowsOf(ledger, "rowsRead", (object) => object.usage(request));
      expect.soft(read, name).toBeGreaterThan(0);
      expect.soft(read, name).toBeLessThan(rows + ENDS);
    }
    const { total, rows } = await ledger.usage({ from, to, by: "key", key: null });
    expect(rows).toHaveLength(KEYS);
    expect(total.calls).toBe(KEYS * DAYS * PAIRS);
  });
});

describe("a monthly quota", () => {
  const CALLS = 200;
  const batchOf = (batch: number) =>
    Array.from({ length: CALLS }, (_, n) => call(batch * CALLS + n + 1, { keyId: `key-${n % 100}` }));

  it("costs no row while it isn't reached, and one row once it is: each batch wrote a row for each key", async () => {
    const now = TODAY + 12 * HOUR_MS;
    stopClock(now);
    const written: Record<string, number[]> = {};
    for (const quota of [null, 1_000_000, 15 * 5]) {
      const ledger = newLedger();
      await runInDurableObject(ledger, (object: Ledger) => {
        for (let key = 0; key < 100; key += 1) if (quota !== null) object.watch(`key-${key}`, quota);
      });
      const rows: number[] = [];
      for (let batch = 0; batch < 4; batch += 1)
        rows.push(
          await rowsOf(ledger, "rowsWritten", async (object) =>
            object.apply("north", "epoch-1", batch * CALLS, batchOf(batch)),
          ),
        );
      rows.push(await rowsOf(ledger, "rowsWritten", async (object) => object.alarm()));
      written[quota ?? "none"] = rows;
    }
    console.log(`rows written by 4 batches of ${CALLS} calls of 100 keys and an alarm, by quota:`, written);
    const [none = [], unreached = [], reached = []] = ["none", "1000000", "75"].map(
      (quota) => written[quota],
    );
    expect(unreached).toEqual(none);
    expect(reached.slice(0, 4)).toEqual(none.slice(0, 4));
    expect((reached[4] ?? 0) - (none[4] ?? 0)).toBe(100);
  });

  it("reads up to three rows for each key with a quota when the ledger starts, and none for each batch", async () => {
    stopClock(TODAY + 12 * HOUR_MS);
    const ledger = newLedger();
    await fill(ledger, TODAY);
    await runInDurableObject(ledger, (_, { storage: { sql } }) => {
      for (let key = 0; key < KEYS; key += 1)
        sql.exec("INSERT INTO quotas VALUES (?, 1000000, 0)", `key-${key}`);
    });
    const read: number[] = [];
    for (let batch = 0; batch < 3; batch += 1)
      read.push(
        await rowsOf(ledger, "rowsRead", async (object) =>
          object.apply("north", "epoch-1", batch * CALLS, batchOf(batch)),
        ),
      );
    console.log(`rows read by 3 batches of ${CALLS} calls, with ${KEYS} quotas:`, read);
    const [first = 0, second = 0, third = 0] = read;
    expect(first).toBeLessThanOrEqual(3 * KEYS + 3 * CALLS);
    expect([second, third]).toEqual([second, second]);
    expect(second).toBeLessThan(2 * CALLS);
  });
});

describe("booking", () => {
  it("batches of 200 calls, each with another key and hour, and rolling them up loses none", async () => {
    const now = TODAY + 12 * HOUR_MS;
    stopClock(now);
    const ledger = newLedger();
    const batches = 10;
    for (let at = 0; at < batches; at += 1)
      await ledger.apply(
        "north",
        "epoch-1",
        at * 200,
        Array.from({ length: 200 }, (_, n) =>
          call(at * 200 + n + 1, { keyId: `key-${n}`, startedAt: now - at * 3_600_000 }),
        ),
      );
    await runDurableObjectAlarm(ledger);
    const { total } = await ledger.usage({ from: now - 2 * DAY_MS, to: now + DAY_MS, by: "key", key: null });
    expect(total.calls).toBe(batches * 200);
  });
});
