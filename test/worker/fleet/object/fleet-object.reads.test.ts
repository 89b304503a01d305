// The rows that an open console makes the fleet object read: SQLite bills each of them, and a console asks twice a
// second.
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { FAILURES_KEPT, type Failure } from "../../../../shared/failures.ts";
import { FailureStore } from "../../../../worker/failures/store.ts";
import { HISTORY_STEP_MS } from "../../../../worker/fleet/object/history.ts";
import { BoxWatch } from "../../../../worker/fleet/object/box-watch.ts";
import { readSnapshot } from "../../support/agents.ts";

const START = 1_800_000_000_000;
const CODES_MS = 5 * 60_000;

/** Runs with the storage of a separate object, and a function that counts the rows that some work reads. */
async function metered(work: (sql: SqlStorage, readBy: (some: () => void) => number) => void): Promise<void> {
  const stub = env.FLEET.getByName(`reads ${crypto.randomUUID()}`);
  await runInDurableObject(stub, (_object, { storage }) => {
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    const exec = (query: string, ...bound: SqlStorageValue[]) => {
      const cursor = storage.sql.exec(query, ...bound);
      cursors.push(cursor);
      return cursor;
    };
    work({ exec } as unknown as SqlStorage, (some) => {
      cursors.length = 0;
      some();
      return cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0);
    });
  });
}

const failure = (n: number, at: number): Failure => ({
  requestId: `req_${n}`,
  at,
  code: `code_${n % 3}`,
  route: "/",
  key: null,
  cause: null,
});

describe("the rows read", () => {
  it("for failures are none if nothing failed since, and for their codes only those of the last minutes", async () => {
    await metered((sql, readBy) => {
      const store = new FailureStore(sql);
      const many = Array.from({ length: FAILURES_KEPT }, (_, n) => failure(n, START));
      store.add(many, [], START);
      store.newest(50, START);
      expect(readBy(() => store.newest(50, START))).toBe(0);
      const codes = (now: number) => store.byCode(now - CODES_MS);
      expect(codes(START).map(({ count }) => count)).toEqual([3_334, 3_333, 3_333]);
      const later = START + CODES_MS;
      expect(codes(later)).toEqual([]);
      expect(readBy(() => codes(later))).toBeLessThan(10);
      store.add([failure(-1, later), failure(-2, START)], [], later);
      expect(readBy(() => expect(codes(later)).toEqual([{ code: "code_-1", count: 1 }]))).toBeLessThan(20);
      expect(readBy(() => store.newest(50, later))).toBe(50);
      // After the clock was set back, the failures in between are found again.
      expect(codes(START)).toHaveLength(5);
    });
  });

  it("for our failures are none if none of ours is new, and for groups an hour's at most every 15 s", async () => {
    await metered((sql, readBy) => {
      const store = new FailureStore(sql);
      store.add([failure(1, START)], [], START);
      const caller = (n: number): Failure => ({ ...failure(n, START), code: "invalid_request" });
      store.add(
        Array.from({ length: 2_000 }, (_, n) => caller(10 + n)),
        [],
        START,
      );
      expect(store.newestOurs(START)).toHaveLength(1);
      store.groups(START);
      store.add([caller(3)], [], START);
      expect(readBy(() => store.newestOurs(START))).toBe(0);
      expect(readBy(() => store.groups(START + 14_999))).toBe(0);
      expect(store.groups(START + 15_000).map(({ count }) => count)).toEqual([2_001, 1]);
    });
  });

  it("for events and alarms are none if nothing happened since", async () => {
    await metered((sql, readBy) => {
      const watch = new BoxWatch(sql);
      const read = () => {
        watch.expect(["north"], { north: [9000] });
        watch.alarms();
        watch.events();
      };
      for (let n = 0; n < 200; n += 1)
        watch.addEvent("north", { port: null, level: "info", text: `${n}` }, START);
      read();
      expect(readBy(read)).toBe(0);
      watch.addEvent("north", { port: null, level: "info", text: "newest" }, START);
      expect(readBy(read)).toBe(100);
      expect(watch.events()[0]).toMatchObject({ text: "newest" });
    });
  });

  it("to delete old history are about as many as are deleted, also for a box that left the fleet", async () => {
    await metered((sql, readBy) => {
      const watch = new BoxWatch(sql);
      const report = (box: string, step: number) =>
        watch.record(box, readSnapshot(1), new Map(), START + step * HISTORY_STEP_MS);
      for (let step = 0; step < 300; step += 1) report("lost", step);
      let max = 0;
      for (let step = 300; step < 8_640 + 400; step += 1)
        max = Math.max(
          max,
          readBy(() => report("north", step)),
        );
      expect(max).toBeLessThan(1_000);
      const [left] = sql
        .exec<{ n: number }>("SELECT count(*) AS n FROM history WHERE box = 'lost'")
        .toArray();
      expect(left).toEqual({ n: 0 });
    });
  });
});
