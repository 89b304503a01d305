// The ledger's rows: what is booked, folded and forgotten. New sums land in `fresh`, one row an hour, key, model and
// agent type; now and then they are folded into what queries read: `facts` by key, and `rolls` by one name over all
// keys. A call so costs about one row written rather than fourteen, and a question reads few rows.
import { DAYS_KEPT_DAYS, HOURS_KEPT_DAYS } from "../../shared/usage-report.ts";
import type { Entry } from "./booking.ts";
import { DAY_MS, dayOf, monthOf, oldestDay, oldestHour } from "./time-ranges.ts";

/** Columns of sums, in every table alike. */
const SUMS = ["calls", "complete", "prompt", "cached", "completion", "estimated"] as const;
const ADDED = SUMS.map((sum) => `sum(${sum})`).join(", ");
const MERGED = SUMS.map((sum) => `${sum} = ${sum} + excluded.${sum}`).join(", ");
const DECLARED = SUMS.map((sum) => `${sum} INTEGER NOT NULL`).join(", ");

/** More rows in `fresh` are folded before more come: what a question must read beside the folded ones stays small. */
const MAX_FRESH_ROWS = 2_000;

/**
 * Most pairs of agent type and model that are told apart; a fleet has some dozens. Later ones are `other`: a box that
 * makes up names can't grow the tables.
 */
const MAX_PAIRS = 1_000;
const OTHER = "other";

/** Rows forgotten in one step, so that a ledger that slept for a month doesn't stand still to catch up. */
const FORGET_ROWS = 5_000;
/** Keys looked through in one step. */
const FORGET_KEYS = 500;

/** What a name in `rolls` is the name of; `all` has one, empty. */
export const DIMENSIONS = ["all", "key", "model", "agent"] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export class LedgerTables {
  readonly #sql: SqlStorage;
  /** Pairs that are told apart and the day each was last noted; null until read. */
  #pairs: Map<string, number> | null = null;
  /**
   * No more rows than this are fresh, whatever becomes of the transaction; null until counted. Counting reads each row
   * of them, and would at every batch.
   */
  #freshAtMost: number | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    for (const table of [
      "marks (box TEXT, epoch TEXT, up_to INTEGER NOT NULL, misdated INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (box, epoch))",
      `fresh (hour INTEGER, month INTEGER, key TEXT, model TEXT, agent TEXT, ${DECLARED}, PRIMARY KEY (hour, key, model, agent))`,
      `facts (span TEXT, key TEXT, at INTEGER, model TEXT, agent TEXT, ${DECLARED}, PRIMARY KEY (span, key, at, model, agent))`,
      `rolls (span TEXT, dimension TEXT, at INTEGER, name TEXT, ${DECLARED}, PRIMARY KEY (span, dimension, at, name))`,
      "pairs (model TEXT, agent TEXT, day INTEGER NOT NULL, PRIMARY KEY (model, agent))",
      "watched (key TEXT PRIMARY KEY, changes INTEGER NOT NULL, told INTEGER NOT NULL)",
      "notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ])
      this.#sql.exec(`CREATE TABLE IF NOT EXISTS ${table} WITHOUT ROWID`);
  }

  mark(box: string, epoch: string): number {
    const rows = this.#sql.exec<{ up_to: number }>(
      "SELECT up_to FROM marks WHERE box = ? AND epoch = ?",
      box,
      epoch,
    );
    return rows.toArray()[0]?.up_to ?? 0;
  }

  setMark(box: string, epoch: string, upTo: number, misdated: number, now: number): void {
    this.#sql.exec(
      `INSERT INTO marks VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
       SET up_to = excluded.up_to, misdated = misdated + excluded.misdated, day = excluded.day`,
      box,
      epoch,
      upTo,
      misdated,
      dayOf(now),
    );
  }

  add(entries: readonly Entry[], now: number): void {
    for (const entry of entries) {
      const [model, agent] = this.#toldApart(entry.model, entry.agent, dayOf(now));
      this.#sql.exec(
        `INSERT INTO fresh VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (hour, key, model, agent) DO UPDATE SET ${MERGED}`,
        entry.hour,
        monthOf(entry.hour),
        entry.key,
        model,
        agent,
        entry.calls,
        entry.complete,
        entry.promptTokens,
        entry.cachedTokens,
        entry.completionTokens,
        entry.estimatedCalls,
      );
    }
    this.#freshAtMost = (this.#freshAtMost ?? this.freshRows()) + entries.length;
    if (this.#freshAtMost <= MAX_FRESH_ROWS) return;
    this.#freshAtMost = this.freshRows();
    if (this.#freshAtMost > MAX_FRESH_ROWS) this.fold();
  }

  freshRows(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM fresh").one().n;
  }

  /** Moves what is fresh to where queries read it. To be called within a transaction. */
  fold(): void {
    for (const [span, at] of [
      ["h", "hour"],
      ["d", `hour - hour % ${DAY_MS}`],
    ] as const)
      this.#sql.exec(
        `INSERT INTO facts SELECT '${span}', key, ${at}, model, agent, ${ADDED} FROM fresh WHERE true
         GROUP BY key, ${at}, model, agent ON CONFLICT DO UPDATE SET ${MERGED}`,
      );
    for (const [span, at] of [
      ["h", "hour"],
      ["d", `hour - hour % ${DAY_MS}`],
      ["m", "month"],
    ] as const)
      for (const dimension of DIMENSIONS) {
        const name = dimension === "all" ? "''" : dimension;
        this.#sql.exec(
          `INSERT INTO rolls SELECT '${span}', '${dimension}', ${at}, ${name}, ${ADDED} FROM fresh WHERE true
           GROUP BY ${at}, ${name} ON CONFLICT DO UPDATE SET ${MERGED}`,
        );
      }
    this.#sql.exec("DELETE FROM fresh");
    this.#freshAtMost = null;
  }

  /** One step of forgetting what is older than it is kept. @returns whether there is more. */
  forget(now: number): boolean {
    // A transaction that failed may have left pairs here that are in no table.
    this.#pairs = null;
    const oldest = { h: oldestHour(now), d: oldestDay(now), m: monthOf(oldestDay(now)) };
    let removed = 0;
    for (const span of ["h", "d", "m"] as const)
      for (const dimension of DIMENSIONS)
        removed += this.#remove(
          "rolls",
          "span, dimension, at, name",
          "span = ? AND dimension = ? AND at < ?",
          [span, dimension, oldest[span]],
        );
    // Kept as long as anything a call could be booked in twice.
    removed += this.#remove("marks", "box, epoch", "day < ?", [dayOf(now) - DAYS_KEPT_DAYS * DAY_MS]);
    removed += this.#remove("pairs", "model, agent", "day < ?", [dayOf(now) - HOURS_KEPT_DAYS * DAY_MS]);
    const more = this.#forgetFacts("h", oldest.h) || this.#forgetFacts("d", oldest.d);
    return more || removed >= FORGET_ROWS;
  }

  /** Key by key, since facts lie by key first; where it stopped is noted. */
  #forgetFacts(span: "h" | "d", oldest: number): boolean {
    let key = this.note(`forget-${span}`) ?? "";
    let removed = 0;
    for (let seen = 0; seen < FORGET_KEYS && removed < FORGET_ROWS; seen += 1) {
      const next = this.#sql
        .exec<{ key: string }>("SELECT key FROM facts WHERE span = ? AND key > ? LIMIT 1", span, key)
        .toArray()[0]?.key;
      if (next === undefined) {
        this.setNote(`forget-${span}`, "");
        return false;
      }
      const gone = this.#remove("facts", "span, key, at, model, agent", "span = ? AND key = ? AND at < ?", [
        span,
        next,
        oldest,
      ]);
      removed += gone;
      if (gone < FORGET_ROWS) key = next;
    }
    this.setNote(`forget-${span}`, key);
    return true;
  }

  #remove(table: string, identity: string, which: string, bound: readonly (string | number)[]): number {
    return this.#sql.exec(
      `DELETE FROM ${table} WHERE (${identity}) IN (SELECT ${identity} FROM ${table} WHERE ${which} LIMIT ${FORGET_ROWS})`,
      ...bound,
    ).rowsWritten;
  }

  note(name: string): string | null {
    const rows = this.#sql.exec<{ value: string }>("SELECT value FROM notes WHERE name = ?", name);
    return rows.toArray()[0]?.value ?? null;
  }

  setNote(name: string, value: string): void {
    if (this.note(name) === value) return;
    this.#sql.exec(
      "INSERT INTO notes VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      name,
      value,
    );
  }

  #toldApart(model: string, agent: string, day: number): readonly [model: string, agent: string] {
    this.#pairs ??= new Map(
      this.#sql
        .exec<{ model: string; agent: string; day: number }>("SELECT model, agent, day FROM pairs")
        .toArray()
        .map((row) => [`${row.model} ${row.agent}`, row.day]),
    );
    const name = `${model} ${agent}`;
    const known = this.#pairs.get(name);
    if (known === undefined && this.#pairs.size >= MAX_PAIRS) return [OTHER, OTHER];
    if (known === undefined || known < day) {
      this.#pairs.set(name, day);
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
