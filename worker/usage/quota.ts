// The keys with a monthly quota, whose objects must hear of their totals: who is watched, and who has news. A change
// is counted and a push notes the count it told, so that neither a restart nor a call in between loses one.
import { withTimeout } from "../http/timeout.ts";

/** Keys told in one round, and at once: the platform lets six calls wait for an answer. */
const KEYS_A_ROUND = 100;
const AT_ONCE = 6;

/** How long a key's object may take to hear its total: the next round tries again. */
const TELL_TIMEOUT_MS = 3_000;

interface News extends Record<string, SqlStorageValue> {
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

  /** Tells those that have news; who can't be told stays one. @returns whether any is left. */
  async push(tell: (key: string) => Promise<void>): Promise<boolean> {
    const news = this.#news(KEYS_A_ROUND);
    for (let at = 0; at < news.length; at += AT_ONCE)
      await Promise.all(news.slice(at, at + AT_ONCE).map(async (each) => this.#tell(each, tell)));
    return this.#news(1).length > 0;
  }

  async #tell({ key, changes }: News, tell: (key: string) => Promise<void>): Promise<void> {
    try {
      // Undefined is the object's answer, null the time-out.
      if ((await withTimeout(tell(key), TELL_TIMEOUT_MS)) === null) return;
    } catch {
      return;
    }
    this.#sql.exec("UPDATE watched SET told = ? WHERE key = ?", changes, key);
  }

  #news(most: number): News[] {
    return this.#sql
      .exec<News>("SELECT key, changes FROM watched WHERE changes <> told ORDER BY random() LIMIT ?", most)
      .toArray();
  }
}
