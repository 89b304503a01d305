// Watches the month's tokens of keys with a monthly quota, and pushes the total to a key's object once its quota is
// reached. The totals are in memory and are read from the ledger's rows when the object starts and when a month begins,
// so a call costs no row. What was pushed is stored, so that a restart loses no push. A new month and another quota need
// no push: the key's object knows its month, and asks when its quota changes.
import { monthName, monthStart } from "../../shared/calendar.ts";
import { withTimeout } from "../http/timeout.ts";
import type { Entry } from "./booking.ts";
import { monthTotal } from "./query.ts";

/** Keys pushed in one round, and at the same time: the platform allows six open calls. */
const KEYS_A_ROUND = 1_000;
const AT_ONCE = 6;

/** How long a key's object may take to accept its total; the next round tries again. */
const PUSH_TIMEOUT_MS = 3_000;

/** A key's tokens of a month (`2026-11`, UTC), prompt and completion together. */
export interface MonthTotal {
  readonly month: string;
  readonly tokens: number;
}

interface Watched {
  readonly quota: number;
  tokens: number;
}

interface StoredQuota extends Record<string, SqlStorageValue> {
  key: string;
  quota: number;
  /** The month (its start) in which the object got the total that reached its quota; 0 for none. */
  pushed: number;
  tokens: number;
}

export class QuotaWatch {
  readonly #sql: SqlStorage;
  /** The month that the totals are of. */
  #month = 0;
  #keys = new Map<string, Watched>();
  /** Keys that reached their quota and whose object doesn't know it yet; a failed one goes to the end. */
  #due = new Set<string>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS quotas (key TEXT PRIMARY KEY, quota INTEGER NOT NULL, pushed INTEGER NOT NULL) WITHOUT ROWID",
    );
  }

  /** @returns the current total, so that a quota which is reached already needs no push. */
  add(key: string, quota: number, now: number): MonthTotal {
    this.#load(now);
    const total = monthTotal(this.#sql, key, now);
    this.#sql.exec(
      "INSERT INTO quotas VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET quota = excluded.quota, pushed = excluded.pushed",
      key,
      quota,
      total.tokens >= quota ? this.#month : 0,
    );
    this.#keys.set(key, { quota, tokens: total.tokens });
    this.#due.delete(key);
    return total;
  }

  remove(key: string): void {
    this.#sql.exec("DELETE FROM quotas WHERE key = ?", key);
    this.#keys.delete(key);
    this.#due.delete(key);
  }

  /** Adds what was booked. @returns whether a push is due. */
  booked(entries: readonly Entry[], now: number): boolean {
    // The rows that are read include the entries.
    if (this.#load(now)) return this.#due.size > 0;
    for (const { key, hour, promptTokens, completionTokens } of entries) {
      const watched = this.#keys.get(key);
      if (watched === undefined || monthStart(hour) !== this.#month) continue;
      const wasReached = watched.tokens >= watched.quota;
      watched.tokens += promptTokens + completionTokens;
      if (!wasReached && watched.tokens >= watched.quota) this.#due.add(key);
    }
    return this.#due.size > 0;
  }

  /** Pushes the totals of keys that reached their quota; a failed push stays due. @returns whether any is left. */
  async push(now: number, send: (key: string, total: MonthTotal) => Promise<void>): Promise<boolean> {
    this.#load(now);
    const due = [...this.#due].slice(0, KEYS_A_ROUND);
    for (let at = 0; at < due.length; at += AT_ONCE)
      await Promise.all(due.slice(at, at + AT_ONCE).map(async (key) => this.#pushOne(key, send)));
    return this.#due.size > 0;
  }

  async #pushOne(key: string, send: (key: string, total: MonthTotal) => Promise<void>): Promise<void> {
    const watched = this.#keys.get(key);
    if (watched === undefined || !this.#due.delete(key)) return;
    const month = this.#month;
    const sent = send(key, { month: monthName(month), tokens: watched.tokens });
    // The object returns undefined; null is the timeout.
    const isDelivered = await withTimeout(sent, PUSH_TIMEOUT_MS).then(
      (result) => result !== null,
      () => false,
    );
    // Another month began, or the key got another quota.
    if (this.#keys.get(key) !== watched) return;
    if (isDelivered) this.#sql.exec("UPDATE quotas SET pushed = ? WHERE key = ?", month, key);
    else this.#due.add(key);
  }

  /** Reads the totals of the month, unless they are here. */
  #load(now: number): boolean {
    const month = monthStart(now);
    if (month === this.#month) return false;
    const rows = this.#sql.exec<StoredQuota>(
      `WITH unrolled AS MATERIALIZED (SELECT key, sum(promptTokens + completionTokens) AS tokens FROM recent WHERE month = ?1 GROUP BY key)
       SELECT quotas.key, quota, pushed, coalesce(promptTokens + completionTokens, 0) + coalesce(unrolled.tokens, 0) AS tokens
       FROM quotas LEFT JOIN unrolled ON unrolled.key = quotas.key
       LEFT JOIN rollups ON granularity = 'm' AND dimension = 'key' AND at = ?1 AND name = quotas.key`,
      month,
    );
    this.#month = month;
    this.#keys = new Map();
    this.#due = new Set();
    for (const { key, quota, pushed, tokens } of rows) {
      this.#keys.set(key, { quota, tokens });
      if (tokens >= quota && pushed !== month) this.#due.add(key);
    }
    return true;
  }
}
