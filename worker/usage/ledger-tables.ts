// Reads and writes the ledger's rows: booking, rolling up and pruning. New sums go into `recent`, one row per hour, key,
// model and agent type. Every few minutes they are added to the tables that queries read: `usage` by key, and `rollups`
// by one name over all keys. So a call costs about one written row instead of fourteen, and a query reads few rows.
import { DAY_MS, dayStart, monthStart } from "../../shared/calendar.ts";
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../shared/usage-report.ts";
import { NOTHING, type Entry } from "./booking.ts";
import { oldestDay, oldestHour, type Granularity } from "./time-ranges.ts";

/** The columns of sums, which every table has; they are the fields of `UsageSums`. */
export const SUMS = Object.keys(NOTHING) as (keyof typeof NOTHING)[];
const ADDED = SUMS.map((sum) => `sum(${sum})`).join(", ");
const MERGED = SUMS.map((sum) => `${sum} = ${sum} + excluded.${sum}`).join(", ");
const DECLARED = SUMS.map((sum) => `${sum} INTEGER NOT NULL`).join(", ");

/** With more rows than this, `recent` is rolled up early: every query reads it in addition to the other tables. */
const MAX_RECENT_ROWS = 2_000;

/**
 * The most pairs of agent type and model that are counted separately; a fleet has some dozens. Further ones are counted
 * as `other`, so that a box that makes up names can't grow the tables.
 */
const MAX_PAIRS = 1_000;
const OTHER = "other";

/** Rows pruned in one step, so that a ledger which was idle for a month doesn't block while it catches up. */
const PRUNED_ROWS = 5_000;
/** Keys checked in one step. */
const PRUNED_KEYS = 500;

/** What the `name` of a row in `rollups` names; for `all` it is empty. */
const DIMENSIONS = ["all", "key", "model", "agent"] as const;
export type Dimension = (typeof DIMENSIONS)[number];

const HOURS = ["h", "hour"] as const;
const DAYS = ["d", `hour - hour % ${DAY_MS}`] as const;
const MONTHS = ["m", "month"] as const;

export class LedgerTables {
  readonly #sql: SqlStorage;
  /** Pairs that are counted separately, and the day each was last booked; null until read. */
  #pairs: Map<string, number> | null = null;
  /**
   * An upper bound of the rows in `recent`, also if a transaction fails; null until counted. Counting reads each of
   * these rows, so it isn't done for every batch.
   */
  #recentAtMost: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    for (const table of [
      "watermarks (box TEXT, epoch TEXT, last_seq INTEGER NOT NULL, misdated INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (box, epoch))",
      `recent (hour INTEGER, month INTEGER, key TEXT, model TEXT, agent TEXT, ${DECLARED}, PRIMARY KEY (hour, key, model, agent))`,
      `usage (granularity TEXT, key TEXT, at INTEGER, model TEXT, agent TEXT, ${DECLARED}, PRIMARY KEY (granularity, key, at, model, agent))`,
      `rollups (granularity TEXT, dimension TEXT, at INTEGER, name TEXT, ${DECLARED}, PRIMARY KEY (granularity, dimension, at, name))`,
      "pairs (model TEXT, agent TEXT, day INTEGER NOT NULL, PRIMARY KEY (model, agent))",
      "meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ])
      this.#sql.exec(`CREATE TABLE IF NOT EXISTS ${table} WITHOUT ROWID`);
  }

  /** The last booked seq of an epoch, 0 for none. */
  lastSeq(box: string, epoch: string): number {
    const rows = this.#sql.exec<{ last_seq: number }>(
      "SELECT last_seq FROM watermarks WHERE box = ? AND epoch = ?",
      box,
      epoch,
    );
    return rows.toArray()[0]?.last_seq ?? 0;
  }

  setLastSeq(box: string, epoch: string, seq: number, misdated: number, now: number): void {
    this.#sql.exec(
      `INSERT INTO watermarks VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
       SET last_seq = excluded.last_seq, misdated = misdated + excluded.misdated, day = excluded.day`,
      box,
      epoch,
      seq,
      misdated,
      dayStart(now),
    );
  }

  add(entries: readonly Entry[], now: number): void {
    for (const entry of entries) {
      const [model, agent] = this.#countedPair(entry.model, entry.agent, dayStart(now));
      this.#sql.exec(
        `INSERT INTO recent VALUES (?, ?, ?, ?, ?${", ?".repeat(SUMS.length)})
         ON CONFLICT (hour, key, model, agent) DO UPDATE SET ${MERGED}`,
        entry.hour,
        monthStart(entry.hour),
        entry.key,
        model,
        agent,
        ...SUMS.map((sum) => entry[sum]),
      );
    }
    this.#recentAtMost = (this.#recentAtMost ?? this.recentRows()) + entries.length;
    if (this.#recentAtMost <= MAX_RECENT_ROWS) return;
    this.#recentAtMost = this.recentRows();
    if (this.#recentAtMost > MAX_RECENT_ROWS) this.rollUp();
  }

  recentRows(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM recent").one().n;
  }

  /** Moves the rows of `recent` to the tables that queries read. Must be called within a transaction. */
  rollUp(): void {
    for (const [granularity, at] of [HOURS, DAYS])
      this.#sql.exec(
        `INSERT INTO usage SELECT '${granularity}', key, ${at}, model, agent, ${ADDED} FROM recent WHERE true
         GROUP BY key, ${at}, model, agent ON CONFLICT DO UPDATE SET ${MERGED}`,
      );
    for (const [granularity, at] of [HOURS, DAYS, MONTHS])
      for (const dimension of DIMENSIONS) {
        const name = dimension === "all" ? "''" : dimension;
        this.#sql.exec(
          `INSERT INTO rollups SELECT '${granularity}', '${dimension}', ${at}, ${name}, ${ADDED} FROM recent WHERE true
           GROUP BY ${at}, ${name} ON CONFLICT DO UPDATE SET ${MERGED}`,
        );
      }
    this.#sql.exec("DELETE FROM recent");
    this.#recentAtMost = null;
  }

  /** One step of deleting what is older than its retention. @returns whether there is more to delete. */
  prune(now: number): boolean {
    // A failed transaction may have left pairs here that are in no table.
    this.#pairs = null;
    const oldest = { h: oldestHour(now), d: oldestDay(now), m: monthStart(oldestDay(now)) };
    let removed = 0;
    for (const granularity of ["h", "d", "m"] as const)
      for (const dimension of DIMENSIONS)
        removed += this.#remove(
          "rollups",
          "granularity, dimension, at, name",
          "granularity = ? AND dimension = ? AND at < ?",
          [granularity, dimension, oldest[granularity]],
        );
    // Kept for as long as a row in which a call could be booked a second time.
    removed += this.#remove("watermarks", "box, epoch", "day < ?", [dayStart(now) - DAYS_KEPT_DAYS * DAY_MS]);
    removed += this.#remove("pairs", "model, agent", "day < ?", [dayStart(now) - HOURS_KEPT_DAYS * DAY_MS]);
    const more = this.#pruneUsage("h", oldest.h) || this.#pruneUsage("d", oldest.d);
    return more || removed >= PRUNED_ROWS;
  }

  /** Key by key, in the order of the table; the key at which it stopped is stored. */
  #pruneUsage(granularity: Exclude<Granularity, "m">, oldest: number): boolean {
    const cursor = `prune-${granularity}`;
    let key = this.meta(cursor) ?? "";
    let removed = 0;
    for (let keys = 0; keys < PRUNED_KEYS && removed < PRUNED_ROWS; keys += 1) {
      const next = this.#sql
        .exec<{ key: string }>(
          "SELECT key FROM usage WHERE granularity = ? AND key > ? LIMIT 1",
          granularity,
          key,
        )
        .toArray()[0]?.key;
      if (next === undefined) {
        this.setMeta(cursor, "");
        return false;
      }
      const gone = this.#remove(
        "usage",
        "granularity, key, at, model, agent",
        "granularity = ? AND key = ? AND at < ?",
        [granularity, next, oldest],
      );
      removed += gone;
      if (gone < PRUNED_ROWS) key = next;
    }
    this.setMeta(cursor, key);
    return true;
  }

  #remove(table: string, identity: string, which: string, bound: readonly (string | number)[]): number {
    return this.#sql.exec(
      `DELETE FROM ${table} WHERE (${identity}) IN (SELECT ${identity} FROM ${table} WHERE ${which} LIMIT ${PRUNED_ROWS})`,
      ...bound,
    ).rowsWritten;
  }

  meta(name: string): string | null {
    const rows = this.#sql.exec<{ value: string }>("SELECT value FROM meta WHERE name = ?", name);
    return rows.toArray()[0]?.value ?? null;
  }

  setMeta(name: string, value: string): void {
    if (this.meta(name) === value) return;
    this.#sql.exec(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      name,
      value,
    );
  }

  /** The names under which a call's model and agent type are counted. */
  #countedPair(model: string, agent: string, day: number): readonly [model: string, agent: string] {
    this.#pairs ??= new Map(
      this.#sql
        .exec<{ model: string; agent: string; day: number }>("SELECT model, agent, day FROM pairs")
        .toArray()
        .map((row) => [`${row.model} ${row.agent}`, row.day]),
    );
    const pair = `${model} ${agent}`;
    const known = this.#pairs.get(pair);
    if (known === undefined && this.#pairs.size >= MAX_PAIRS) return [OTHER, OTHER];
    if (known === undefined || known < day) {
      this.#pairs.set(pair, day);
      this.#sql.exec(
        "INSERT INTO pairs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET day = excluded.day",
        model,
        agent,
        day,
      );
    }
    return [model, agent];
  }
}
