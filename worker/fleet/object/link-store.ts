// Stores what must outlive a box's sockets: when it was last seen, whether an operator drained it, and the recent
// revocations, which an agent that is dialling again has missed.
//
// Tables: `boxes` has a row for each box that was ever linked; `drains` has the newest drain or resume of each box;
// `revocations` has the keys revoked within the last two minutes. A few rows each.
import type { Drain } from "../../../shared/wire.ts";

/** A revocation matters for as long as a call can be queued on a box, plus the time to dial again. */
const REVOCATION_MS = 120_000;

/** Revocations sent to an agent that comes back; only a script revokes more within two minutes. */
const MAX_REVOCATIONS = 1_000;

export interface BoxRow extends Record<string, SqlStorageValue> {
  box: string;
  seenAt: number;
  version: string;
  /** 1 if an operator drained it. */
  drained: number;
  /** When it was drained or resumed; null if it never was. */
  drainedAt: number | null;
}

export class LinkStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS boxes (box TEXT PRIMARY KEY, seen_at INTEGER, version TEXT) WITHOUT ROWID",
    );
    sql.exec(
      "CREATE TABLE IF NOT EXISTS drains (box TEXT PRIMARY KEY, drained INTEGER, at INTEGER) WITHOUT ROWID",
    );
    sql.exec("CREATE TABLE IF NOT EXISTS revocations (key TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID");
  }

  noteSeen(box: string, at: number, version: string): void {
    this.#sql.exec(
      `INSERT INTO boxes VALUES (?, ?, ?) ON CONFLICT DO UPDATE
       SET seen_at = max(seen_at, excluded.seen_at), version = excluded.version`,
      box,
      at,
      version,
    );
  }

  boxes(): BoxRow[] {
    return this.#sql
      .exec<BoxRow>(
        `SELECT box, seen_at AS seenAt, version, coalesce(drained, 0) AS drained, drains.at AS drainedAt
         FROM boxes LEFT JOIN drains USING (box) ORDER BY box`,
      )
      .toArray();
  }

  /** Stores an operator's command, as newer than every earlier one, also if the clock was set back. */
  setDrained(box: string, drained: boolean, now: number): Drain {
    const drain = { drained, at: Math.max(now, (this.drainOf(box)?.at ?? 0) + 1) };
    this.#storeDrain(box, drain);
    return drain;
  }

  /** Takes over what the box knows if it is newer: this store was created later, or restored to an earlier state. */
  newestDrain(box: string, known: Drain | null): Drain | null {
    const stored = this.drainOf(box);
    if (known === null || known.at <= (stored?.at ?? -1)) return stored;
    this.#storeDrain(box, known);
    return known;
  }

  drainOf(box: string): Drain | null {
    const [row] = this.#sql
      .exec<{ drained: number; at: number }>("SELECT drained, at FROM drains WHERE box = ?", box)
      .toArray();
    return row === undefined ? null : { drained: row.drained === 1, at: row.at };
  }

  #storeDrain(box: string, { drained, at }: Drain): void {
    this.#sql.exec("INSERT OR REPLACE INTO drains VALUES (?, ?, ?)", box, drained ? 1 : 0, at);
  }

  noteRevoked(key: string, now: number): void {
    this.#sql.exec("DELETE FROM revocations WHERE at < ?", now - REVOCATION_MS);
    this.#sql.exec(
      "INSERT INTO revocations VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
      key,
      now,
    );
  }

  /** The keys that were revoked recently. */
  revocations(now: number): string[] {
    return this.#sql
      .exec<{ key: string }>(
        "SELECT key FROM revocations WHERE at >= ? ORDER BY at DESC LIMIT ?",
        now - REVOCATION_MS,
        MAX_REVOCATIONS,
      )
      .toArray()
      .map(({ key }) => key);
  }
}
