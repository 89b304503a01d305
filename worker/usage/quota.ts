// Pushes the month's total of each key with a monthly quota to the key's object. Each change is counted, and a push
// stores the count that it delivered, so that neither a restart nor a call in between loses a change.
import { withTimeout } from "../http/timeout.ts";

/** Keys pushed in one round, and at the same time: the platform allows six open calls. */
const KEYS_A_ROUND = 100;
const AT_ONCE = 6;

/** How long a key's object may take to accept its total; the next round tries again. */
const PUSH_TIMEOUT_MS = 3_000;

interface Unpushed extends Record<string, SqlStorageValue> {
  key: string;
  changes: number;
}

export class QuotaWatch {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(key: string): void {
    this.#sql.exec("INSERT INTO watched VALUES (?, 0, 0) ON CONFLICT DO NOTHING", key);
  }

  remove(key: string): void {
    this.#sql.exec("DELETE FROM watched WHERE key = ?", key);
  }

  /** Notes that these keys' totals grew. @returns whether any of them is watched. */
  changed(keys: readonly string[]): boolean {
    let isAny = false;
    for (const key of new Set(keys)) {
      const update = this.#sql.exec("UPDATE watched SET changes = changes + 1 WHERE key = ?", key);
      isAny ||= update.rowsWritten > 0;
    }
    return isAny;
  }

  /** Pushes the totals that changed; a failed push stays due. @returns whether any is left. */
  async push(send: (key: string) => Promise<void>): Promise<boolean> {
    const due = this.#unpushed(KEYS_A_ROUND);
    for (let at = 0; at < due.length; at += AT_ONCE)
      await Promise.all(due.slice(at, at + AT_ONCE).map(async (each) => this.#pushOne(each, send)));
    return this.#unpushed(1).length > 0;
  }

  async #pushOne({ key, changes }: Unpushed, send: (key: string) => Promise<void>): Promise<void> {
    try {
      // The object returns undefined; null is the timeout.
      if ((await withTimeout(send(key), PUSH_TIMEOUT_MS)) === null) return;
    } catch {
      return;
    }
    this.#sql.exec("UPDATE watched SET pushed = ? WHERE key = ?", changes, key);
  }

  #unpushed(max: number): Unpushed[] {
    return this.#sql
      .exec<Unpushed>(
        "SELECT key, changes FROM watched WHERE changes <> pushed ORDER BY random() LIMIT ?",
        max,
      )
      .toArray();
  }
}
