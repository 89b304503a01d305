// What of the links must outlive a socket: when each box was last heard, which are drained by an operator's wish, and
// the revocations that an agent which is just dialling again has missed. A few rows each.

/** A revocation is of use for as long as a call may wait in a box's queue, and a dial may take. */
const REVOCATION_MS = 120_000;

/** Revocations told to an agent that comes back; more in two minutes are somebody's script. */
const MAX_REVOCATIONS = 1_000;

export interface BoxRow extends Record<string, SqlStorageValue> {
  box: string;
  heard_at: number;
  version: string;
  /** 1 where an operator drained it. */
  held: number;
}

export class LinkTables {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      "CREATE TABLE IF NOT EXISTS boxes (box TEXT PRIMARY KEY, heard_at INTEGER, version TEXT) WITHOUT ROWID",
    );
    this.#sql.exec("CREATE TABLE IF NOT EXISTS held (box TEXT PRIMARY KEY) WITHOUT ROWID");
    this.#sql.exec("CREATE TABLE IF NOT EXISTS revocations (key TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID");
  }

  heard(box: string, at: number, version: string): void {
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
        "SELECT box, heard_at, version, box IN (SELECT box FROM held) AS held FROM boxes ORDER BY box",
      )
      .toArray();
  }

  /** An operator's wish holds until it is taken back: an agent that dials anew hears of it. */
  hold(box: string, held: boolean): void {
    const statement = held ? "INSERT OR IGNORE INTO held VALUES (?)" : "DELETE FROM held WHERE box = ?";
    this.#sql.exec(statement, box);
  }

  isHeld(box: string): boolean {
    return this.#sql.exec("SELECT 1 FROM held WHERE box = ?", box).toArray().length > 0;
  }

  revoked(key: string, now: number): void {
    this.#sql.exec("DELETE FROM revocations WHERE at < ?", now - REVOCATION_MS);
    this.#sql.exec(
      "INSERT INTO revocations VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
      key,
      now,
    );
  }

  /** Keys revoked lately. */
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
