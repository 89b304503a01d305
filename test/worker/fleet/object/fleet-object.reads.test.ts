// What an open console has the fleet object read: every row that SQLite looks at is billed, and it asks twice a second.
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

/** Runs with the storage of an object of its own, and a function that says what some work reads of it. */
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

describe("the rows that are read", () => {
  it("of failures are none where nothing failed since, and of their codes those of the last minutes", async () => {
    await metered((sql, readBy) => {
      const tables = new FailureStore(sql);
      tables.create();
      const many = Array.from({ length: FAILURES_KEPT }, (_, n) => failure(n, START));
      tables.add(many, [], START);
      tables.newest(50, START);
      expect(readBy(() => tables.newest(50, START))).toBe(0);
      const look = (now: number) => tables.byCode(now - CODES_MS);
      expect(look(START).map(({ count }) => count)).toEqual([3_334, 3_333, 3_333]);
      const later = START + CODES_MS;
      expect(look(later)).toEqual([]);
      expect(readBy(() => look(later))).toBeLessThan(10);
      tables.add([failure(-1, later), failure(-2, START)], [], later);
      expect(readBy(() => expect(look(later)).toEqual([{ code: "code_-1", count: 1 }]))).toBeLessThan(20);
      expect(readBy(() => tables.newest(50, later))).toBe(50);
      // A clock that was set back: those of the times between are found again.
      expect(look(START)).toHaveLength(5);
    });
  });

  it("of events and alarms are none where nothing happened since", async () => {
    await metered((sql, readBy) => {
      const watch = new BoxWatch(sql);
      const look = () => {
        watch.expect(["north"], { north: [9000] });
        watch.alarms();
        watch.events();
      };
      for (let n = 0; n < 200; n += 1)
        watch.note("north", { port: null, level: "info", text: `${n}` }, START);
      look();
      expect(readBy(look)).toBe(0);
      watch.note("north", { port: null, level: "info", text: "news" }, START);
      expect(readBy(look)).toBe(100);
      expect(watch.events()[0]).toMatchObject({ text: "news" });
    });
  });

  it("to forget a box's history are about those that are forgotten, of a box too that the fleet lost", async () => {
    await metered((sql, readBy) => {
      const watch = new BoxWatch(sql);
      const says = (box: string, step: number) =>
        watch.said(box, readSnapshot(1), START + step * HISTORY_STEP_MS);
      for (let step = 0; step < 300; step += 1) says("lost", step);
      let most = 0;
      for (let step = 300; step < 8_640 + 400; step += 1)
        most = Math.max(
          most,
          readBy(() => says("north", step)),
        );
      expect(most).toBeLessThan(1_000);
      const [left] = sql
        .exec<{ n: number }>("SELECT count(*) AS n FROM history WHERE box = 'lost'")
        .toArray();
      expect(left).toEqual({ n: 0 });
    });
  });
});
