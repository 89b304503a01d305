// The journal's SQLite file: its tables, its statements, and how it is opened. All agents of a box share it. Rows contain
// names and numbers only: no column could contain a prompt or an answer.
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { CallEnd, CallStart, UsageCall } from "../../shared/usage.ts";

/** How long a statement waits for another agent's transaction, which takes 0.1 ms. */
const BUSY_TIMEOUT_MS = 100;
/** The log is moved into the database beyond this size: about 1,000 calls. */
export const CHECKPOINT_BYTES = 4 * 1024 * 1024;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Corrupt files that are kept for an examination; older ones are removed. */
const MAX_SET_ASIDE = 3;

/** `id` numbers the calls of an epoch by their dispatch, `seq` by their end. `acked` is the last acknowledged seq. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS calls (
    epoch TEXT NOT NULL, id INTEGER NOT NULL,
    callId TEXT NOT NULL, keyId TEXT NOT NULL, agentType TEXT NOT NULL,
    model TEXT NOT NULL, port INTEGER NOT NULL, startedAt INTEGER NOT NULL,
    seq INTEGER, outcome TEXT, promptTokens INTEGER, cachedTokens INTEGER, completionTokens INTEGER,
    choices INTEGER, estimated INTEGER, durationMs INTEGER,
    PRIMARY KEY (epoch, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS ended ON calls (epoch, seq) WHERE seq IS NOT NULL;
  CREATE TABLE IF NOT EXISTS epochs (epoch TEXT PRIMARY KEY, acked INTEGER NOT NULL) STRICT, WITHOUT ROWID;`;

const START = `INSERT INTO calls (epoch, id, callId, keyId, agentType, model, port, startedAt)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
const END = `UPDATE calls SET seq = ?, outcome = ?, promptTokens = ?, cachedTokens = ?, completionTokens = ?,
  choices = ?, estimated = ?, durationMs = ?, port = ?, model = ? WHERE epoch = ? AND id = ?`;
const NEXT = `SELECT seq, callId, keyId, agentType, model, port, startedAt, outcome, promptTokens, cachedTokens,
  completionTokens, choices, estimated, durationMs
  FROM calls WHERE epoch = ? AND seq IS NOT NULL AND seq <= ? ORDER BY seq LIMIT ?`;
const INTERRUPT = `UPDATE calls SET outcome = 'interrupted', choices = 0, estimated = 1, seq = ?
  WHERE epoch = ? AND id = ?`;
const ACKNOWLEDGE = `INSERT INTO epochs (epoch, acked) VALUES (?, ?)
  ON CONFLICT (epoch) DO UPDATE SET acked = max(acked, excluded.acked)`;

export class JournalTables {
  readonly #db: DatabaseSync;
  readonly #begin;
  readonly #commit;
  readonly #start;
  readonly #end;
  readonly #next;

  /** @throws Error if the file can't be opened or is corrupt; see `isCorrupt` */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    // SQLite would create it with the mode of the user's mask; its other files take the mode from this one.
    closeSync(openSync(path, "a", FILE_MODE));
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      this.#db.exec(
        `PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = ${CHECKPOINT_BYTES};${SCHEMA}`,
      );
      const [verdict] = Object.values(this.#db.prepare("PRAGMA quick_check(1)").get() ?? {});
      if (verdict !== "ok") throw Object.assign(new Error("the journal is damaged"), { errcode: CORRUPT });
      this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
      this.#commit = this.#db.prepare("COMMIT");
      this.#start = this.#db.prepare(START);
      this.#end = this.#db.prepare(END);
      this.#next = this.#db.prepare(NEXT);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Runs the work in one transaction: all of it is in the kernel on return, or none. */
  transaction(work: () => void): void {
    this.#begin.run();
    try {
      work();
      this.#commit.run();
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  start(epoch: string, id: number, call: CallStart): void {
    const { callId, keyId, agentType, model, port, startedAt } = call;
    this.#start.run(epoch, id, callId, keyId, agentType, model, port, startedAt);
  }

  end(epoch: string, id: number, seq: number, end: CallEnd, { port, model }: Served): void {
    const { outcome, promptTokens, cachedTokens, completionTokens, choices, estimated, durationMs } = end;
    const counts = [promptTokens, cachedTokens, completionTokens] as const;
    this.#end.run(seq, outcome, ...counts, choices, Number(estimated), durationMs, port, model, epoch, id);
  }

  /** The ended calls of an epoch up to this seq, in order. */
  next(epoch: string, maxSeq: number, limit: number): UsageCall[] {
    return this.#next
      .all(epoch, Math.min(maxSeq, Number.MAX_SAFE_INTEGER), limit)
      .map((row) => ({ ...(row as unknown as UsageCall), estimated: row["estimated"] === 1 }));
  }

  /** The epochs with calls, the one with the oldest call first. */
  epochs(): string[] {
    const rows = this.#db.prepare("SELECT epoch FROM calls GROUP BY epoch ORDER BY min(startedAt)").all();
    return rows.map(({ epoch }) => String(epoch));
  }

  hasCalls(epoch: string): boolean {
    return this.#db.prepare("SELECT 1 FROM calls WHERE epoch = ? LIMIT 1").get(epoch) !== undefined;
  }

  /**
   * Ends the calls that an exited process left open, in their order, after everything that it had numbered. A second
   * agent that does the same changes nothing.
   */
  interrupt(epoch: string): void {
    const open = this.#db
      .prepare("SELECT id FROM calls WHERE epoch = ? AND seq IS NULL ORDER BY id")
      .all(epoch);
    const last = this.#db
      .prepare(
        "SELECT max(seq) AS seq FROM (SELECT seq FROM calls WHERE epoch = ?1 UNION ALL SELECT acked FROM epochs WHERE epoch = ?1)",
      )
      .get(epoch);
    const interrupt = this.#db.prepare(INTERRUPT);
    for (const [index, { id }] of open.entries()) {
      interrupt.run(Number(last?.["seq"] ?? 0) + 1 + index, epoch, id ?? null);
    }
  }

  acknowledge(epoch: string, seq: number): void {
    this.#db.prepare("DELETE FROM calls WHERE epoch = ? AND seq <= ?").run(epoch, seq);
    this.#db.prepare(ACKNOWLEDGE).run(epoch, seq);
  }

  /** Forgets an epoch without calls. */
  forget(epoch: string): void {
    this.#db.prepare("DELETE FROM epochs WHERE epoch = ?").run(epoch);
  }

  /** Bytes in use; free pages are used again. */
  get bytes(): number {
    const pages = "SELECT (page_count - freelist_count) * page_size AS bytes";
    const row = this.#db
      .prepare(`${pages} FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`)
      .get();
    return Number(row?.["bytes"] ?? 0);
  }

  close(): void {
    this.#db.close();
  }
}

/** What finally answered a call. */
export type Served = Pick<CallStart, "port" | "model">;

const FULL = 13;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
const CODES: Readonly<Record<number, string>> = {
  5: "SQLITE_BUSY",
  8: "SQLITE_READONLY",
  10: "SQLITE_IOERR",
  [CORRUPT]: "SQLITE_CORRUPT",
  [FULL]: "ENOSPC",
  14: "SQLITE_CANTOPEN",
  [NOT_A_DATABASE]: "SQLITE_NOTADB",
};

/** SQLite's primary result code; null for an error of something else (https://sqlite.org/rescode.html). */
function resultCode(error: unknown): number | null {
  const code = (error as { readonly errcode?: unknown }).errcode;
  return typeof code === "number" ? code & 0xff : null;
}

/** The system's error code, or SQLite's; a full disk is `ENOSPC` in either case. */
export function errorCode(error: unknown): string {
  const code = resultCode(error);
  return code === null
    ? ((error as NodeJS.ErrnoException).code ?? "unknown")
    : (CODES[code] ?? `SQLITE_${code}`);
}

export function isCorrupt(error: unknown): boolean {
  const code = resultCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

/** Renames a corrupt journal. @returns its new name */
export function setAside(path: string, now: number): string {
  const [folder, name] = [dirname(path), basename(path)];
  const aside = `${name}.corrupt-${now}`;
  for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
  renameSync(path, join(folder, aside));
  const older = readdirSync(folder).filter((each) => each.startsWith(`${name}.corrupt-`));
  for (const each of older.toSorted().slice(0, -MAX_SET_ASIDE)) rmSync(join(folder, each));
  return aside;
}
