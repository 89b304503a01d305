import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { dayStart, HOUR_MS, hourStart, monthStart } from "../../../shared/calendar.ts";
import { call, newLedger, sumsBy, type LedgerStub } from "../support/usage.ts";

const SUMS =
  "calls INTEGER, complete INTEGER, prompt INTEGER, cached INTEGER, completion INTEGER, estimated INTEGER";

/** The tables as earlier versions created them. */
const OLD_TABLES = [
  "marks (box TEXT, epoch TEXT, up_to INTEGER NOT NULL, misdated INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (box, epoch))",
  `fresh (hour INTEGER, month INTEGER, key TEXT, model TEXT, agent TEXT, ${SUMS}, PRIMARY KEY (hour, key, model, agent))`,
  `facts (span TEXT, key TEXT, at INTEGER, model TEXT, agent TEXT, ${SUMS}, PRIMARY KEY (span, key, at, model, agent))`,
  `rolls (span TEXT, dimension TEXT, at INTEGER, name TEXT, ${SUMS}, PRIMARY KEY (span, dimension, at, name))`,
  "pairs (model TEXT, agent TEXT, day INTEGER NOT NULL, PRIMARY KEY (model, agent))",
  "watched (key TEXT PRIMARY KEY, changes INTEGER NOT NULL, told INTEGER NOT NULL)",
  "notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
];

/** A ledger that an earlier version has left: one recent call, five that are rolled up, and two epochs. */
async function oldLedger(now: number): Promise<LedgerStub> {
  const ledger = newLedger();
  const hour = hourStart(now);
  await runInDurableObject(ledger, (_, { storage: { sql } }) => {
    for (const table of ["watermarks", "recent", "usage", "rollups", "pairs", "watched", "meta"])
      sql.exec(`DROP TABLE ${table}`);
    for (const table of OLD_TABLES) sql.exec(`CREATE TABLE ${table} WITHOUT ROWID`);
    sql.exec(
      `INSERT INTO fresh VALUES (${hour}, ${monthStart(hour)}, 'key-a', 'Model-1', 'Alpha', 1, 1, 10, 4, 5, 0)`,
    );
    sql.exec(
      `INSERT INTO facts VALUES ('h', 'key-a', ${hour - HOUR_MS}, 'Model-1', 'Alpha', 5, 5, 50, 20, 25, 0)`,
    );
    sql.exec(
      `INSERT INTO rolls VALUES ('d', 'key', ${dayStart(hour - HOUR_MS)}, 'key-a', 5, 5, 50, 20, 25, 0)`,
    );
    sql.exec(`INSERT INTO rolls VALUES ('h', 'all', ${hour - HOUR_MS}, '', 5, 5, 50, 20, 25, 0)`);
    sql.exec(
      `INSERT INTO marks VALUES ('north', 'epoch-1', 6, 0, ${hour}), ('south', 'epoch-1', 9, 0, ${hour})`,
    );
    sql.exec("INSERT INTO watched VALUES ('key-a', 3, 2)");
    sql.exec("INSERT INTO notes VALUES ('fold-due', '7'), ('forget-due', '8'), ('forget-h', 'key-a')");
  });
  await evictDurableObject(ledger);
  return ledger;
}

describe("a ledger that an earlier version created", () => {
  it("keeps its sums and continues after its last seq", async () => {
    const ledger = await oldLedger(Date.now());
    const hours = await sumsBy(ledger, "hour", { key: "key-a" });
    expect(Object.values(hours).map(({ calls }) => calls)).toEqual([5, 1]);
    expect(await ledger.apply("north", "epoch-1", 0, [call(6)])).toMatchObject({ lastSeq: 6 });
    expect(await ledger.apply("south", "epoch-1", 9, [call(10)])).toMatchObject({ lastSeq: 10 });
    expect(await sumsBy(ledger, "key")).toMatchObject({ "key-a": { calls: 7 } });
  });

  it("keeps its due times and the pushes that are due, and is renamed only once", async () => {
    const ledger = await oldLedger(Date.now());
    const read = async () =>
      runInDurableObject(ledger, (_, { storage: { sql } }) => ({
        meta: sql.exec("SELECT name, value FROM meta ORDER BY value").toArray(),
        watched: sql.exec("SELECT key, changes, pushed FROM watched").toArray(),
      }));
    const renamed = {
      meta: [
        { name: "rollup-due", value: "7" },
        { name: "prune-due", value: "8" },
        { name: "prune-h", value: "key-a" },
      ],
      watched: [{ key: "key-a", changes: 3, pushed: 2 }],
    };
    expect(await read()).toEqual(renamed);
    await evictDurableObject(ledger);
    expect(await read()).toEqual(renamed);
  });
});
