// Stores what must outlive a box's sockets: when it was last seen, whether an operator drained it, and the recent
// revocations, which an agent that is dialling again has missed.
//
// Tables: `boxes` has a row for each box that was ever linked; `held` has the boxes that an operator drained;
// `revocations` has the keys revoked within the last two minutes. A few rows each.

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
}

export class LinkStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS boxes (box TEXT PRIMARY KEY, heard_at INTEGER, version TEXT) WITHOUT ROWID",
    );
    sql.exec("CREATE TABLE IF NOT EXISTS held (box TEXT PRIMARY KEY) WITHOUT ROWID");
    sql.exec("CREATE TABLE IF NOT EXISTS revocations (key TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID");
  }

  noteSeen(box: string, at: number, version: string): void {
    this.#sql.exec(
      `INSERT INTO boxes VALUES (?, ?, ?) ON CONFLICT DO UPDATE
       SET heard_at = max(heard_at, excluded.heard_at), version = excluded.version`,
      box,
      at,
      version,
    );
  }

  boxes(): BoxRow[] {
    return this.#sql
      .exec<BoxRow>(
        "SELECT box, heard_at AS seenAt, version, box IN (SELECT box FROM held) AS drained FROM boxes ORDER BY box",
      )
      .toArray();
  }

  /** A drain holds until a resume: an agent that dials again receives it then. */
  setDrained(box: string, drained: boolean): void {
    const statement = drained ? "INSERT OR IGNORE INTO held VALUES (?)" : "DELETE FROM held WHERE box = ?";
    this.#sql.exec(statement, box);
  }

  isDrained(box: string): boolean {
    return this.#sql.exec("SELECT 1 FROM held WHERE box = ?", box).toArray().length > 0;
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
