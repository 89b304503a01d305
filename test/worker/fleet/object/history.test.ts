// The history of a box over 24 hours, in real SQLite: bounded, one row for each step, null for unknown figures.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { HISTORY_KEPT_MS, HISTORY_STEP_MS, HistoryStore } from "../../../../worker/fleet/object/history.ts";

const START = 1_800_000_000_000;

type Reading = Parameters<HistoryStore["add"]>[1];

function reading(gib: number | null, tokens: number | null = 10): Reading {
  const server = {
    port: 9001,
    state: "ready",
    why: "",
    slots: 4,
    busy: 1,
    waiting: 2,
    places: 64,
    waitMs: 0,
    tokensPerSecond: tokens,
    firstTokenP50Ms: null,
    firstTokenP95Ms: null,
    continued: 0,
    gpuGib: gib,
    restarts: 0,
  } as const;
  const gpu = {
    name: "a card",
    memoryUsedGib: gib,
    memoryTotalGib: 24,
    utilizationPercent: 50,
    temperatureC: 60,
    powerWatts: 200,
  };
  return { servers: [server, { ...server, port: 9002 }], gpus: [gpu] };
}

/** Runs with the storage of a separate object. */
async function withSql(work: (sql: SqlStorage) => void): Promise<void> {
  const stub = env.FLEET.getByName(`history ${crypto.randomUUID()}`);
  await runInDurableObject(stub, (_object, state) => work(state.storage.sql));
}

describe("a box's history", () => {
  it("has one row every ten seconds, however often the box reports", async () => {
    await withSql((sql) => {
      const store = new HistoryStore(sql);
      for (let at = 0; at < 60_000; at += 500) store.add("north", reading(at / 10_000), START + at);
      const found = store.read("north", 15, START + 60_000);
      expect(found.stepS).toBe(HISTORY_STEP_MS / 1000);
      expect(found.at).toEqual([0, 1, 2, 3, 4, 5].map((step) => START + step * HISTORY_STEP_MS));
      expect(found.memoryUsedGib).toEqual([0, 1, 2, 3, 4, 5]);
      expect(found.serverGib).toEqual({ 9001: [0, 1, 2, 3, 4, 5], 9002: [0, 1, 2, 3, 4, 5] });
      expect(found).toMatchObject({
        tokensPerSecond: [20, 20, 20, 20, 20, 20],
        busy: [2, 2, 2, 2, 2, 2],
        waiting: [4, 4, 4, 4, 4, 4],
        temperatureC: [60, 60, 60, 60, 60, 60],
      });
    });
  });

  it("has null for an unknown figure, never 0", async () => {
    await withSql((sql) => {
      const store = new HistoryStore(sql);
      store.add("north", { ...reading(null, null), gpus: null }, START);
      expect(store.read("north", 15, START)).toMatchObject({
        memoryUsedGib: [null],
        tokensPerSecond: [null],
        powerWatts: [null],
        serverGib: { 9001: [null] },
      });
    });
  });

  it("combines all cards", async () => {
    await withSql((sql) => {
      const store = new HistoryStore(sql);
      const cards = [reading(4), reading(3)].flatMap(({ gpus }) => gpus ?? []);
      const [one, other] = cards;
      if (one === undefined || other === undefined) throw new Error("there are two cards");
      const gpus = [one, { ...other, temperatureC: 80, utilizationPercent: 0 }];
      store.add("north", { ...reading(4), gpus }, START);
      expect(store.read("north", 15, START)).toMatchObject({
        memoryUsedGib: [7],
        temperatureC: [80],
        utilizationPercent: [25],
        powerWatts: [400],
      });
    });
  });

  it("of a day has at most 720 steps, averaged, and older rows are deleted", async () => {
    await withSql((sql) => {
      const store = new HistoryStore(sql);
      const end = START + HISTORY_KEPT_MS + 60 * 60_000;
      for (let at = START; at < end; at += HISTORY_STEP_MS) store.add("north", reading(4), at);
      const found = store.read("north", 1440, end);
      expect(found.at.length).toBeLessThanOrEqual(721);
      expect(found.at.length).toBeGreaterThan(700);
      expect(found.memoryUsedGib.every((gib) => gib === 4)).toBe(true);
      const [count] = sql.exec<{ n: number }>("SELECT count(*) AS n FROM history").toArray();
      expect(count?.n).toBeLessThanOrEqual(HISTORY_KEPT_MS / HISTORY_STEP_MS + 61);
      expect(sql.databaseSize).toBeLessThan(4 * 1024 * 1024);
    });
  });

  it("continues after a restart of the object, and separates the boxes", async () => {
    await withSql((sql) => {
      new HistoryStore(sql).add("north", reading(1), START);
      const after = new HistoryStore(sql);
      after.add("north", reading(9), START + 5_000);
      after.add("south", reading(2), START + 5_000);
      expect(after.read("north", 15, START + 5_000).memoryUsedGib).toEqual([1]);
      expect(after.read("south", 15, START + 5_000).memoryUsedGib).toEqual([2]);
      expect(after.read("west", 15, START + 5_000).at).toEqual([]);
    });
  });
});
