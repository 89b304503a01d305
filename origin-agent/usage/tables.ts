// The journal's SQLite file: its one table, its statements, and how it is opened. All agents of a box share it. Rows hold
// names and numbers only: no column could hold a prompt or an answer.
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { CallEnd, CallStart, UsageCall } from "../../shared/usage.ts";

/** How long a statement waits for another agent's transaction, which takes 0.1 ms; it blocks the event loop. */
const BUSY_TIMEOUT_MS = 20;

/** Beyond this size the log is moved into the database by a thread: every 500 calls. */
export const CHECKPOINT_BYTES = 4 * 1024 * 1024;

/** Beyond this size a commit moves what the thread has left over: a thread never catches up with constant writes. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

const PAGE_BYTES = 1_024;
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** `seq` numbers an epoch's calls in the order of their ends; one without an end has a number above `FIRST_OPEN`. */
const SCHEMA = `CREATE TABLE IF NOT EXISTS calls (
  epoch TEXT NOT NULL, seq INTEGER NOT NULL,
  callId TEXT NOT NULL, keyId TEXT NOT NULL, agentType TEXT NOT NULL, startedAt INTEGER NOT NULL,
  model TEXT NOT NULL, port INTEGER NOT NULL, outcome TEXT NOT NULL,
  promptTokens INTEGER, cachedTokens INTEGER, completionTokens INTEGER,
  choices INTEGER NOT NULL, estimated INTEGER NOT NULL, durationMs INTEGER,
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID`;

export class JournalTables {
  readonly #db: DatabaseSync;
  readonly #begin;
  readonly #commit;
  readonly #insert;
  readonly #update;
  readonly #delete;
  readonly #next;

  /** @throws Error if the file can't be opened or is corrupt; see `isCorrupt` */
  constructor(path: string, maxBytes: number) {
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    // SQLite would create it with the mode of the user's mask; its other files take the mode from this one.
    if (!existsSync(path)) closeSync(openSync(path, "a", FILE_MODE));
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    try {
      this.#db.exec(
        `PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        PRAGMA max_page_count = ${Math.floor(maxBytes / PAGE_BYTES)};
        PRAGMA wal_autocheckpoint = ${MAX_LOG_BYTES / PAGE_BYTES};
        PRAGMA journal_size_limit = ${CHECKPOINT_BYTES}; ${SCHEMA}`,
      );
      const [verdict] = Object.values(this.#db.prepare("PRAGMA quick_check(1)").get() ?? {});
      if (verdict !== "ok") throw Object.assign(new Error("the journal is damaged"), { errcode: CORRUPT });
      this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
      this.#commit = this.#db.prepare("COMMIT");
      this.#insert = this.#db.prepare(`INSERT INTO calls VALUES (${Array(15).fill("?").join()})`);
      this.#update = this.#db.prepare(
        `UPDATE calls SET seq = ?, model = ?, port = ?, outcome = ?, promptTokens = ?, cachedTokens = ?,
        completionTokens = ?, choices = ?, estimated = ?, durationMs = ? WHERE epoch = ? AND seq = ?`,
      );
      this.#delete = this.#db.prepare("DELETE FROM calls WHERE epoch = ? AND seq BETWEEN ? AND ?");
      this.#next = this.#db.prepare("SELECT * FROM calls WHERE epoch = ? AND seq <= ? ORDER BY seq LIMIT ?");
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Runs the work in one transaction: all of it is in the kernel on return, or none. One statement needs none. */
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

  insert(epoch: string, seq: number, start: CallStart, end: CallEnd): void {
    const { callId, keyId, agentType, startedAt, model, port } = start;
    this.#insert.run(epoch, seq, callId, keyId, agentType, startedAt, model, port, ...ended(end));
  }

  /** Ends the call that has `openSeq` so far. */
  end(epoch: string, openSeq: number, seq: number, { model, port }: CallStart, end: CallEnd): void {
    this.#update.run(seq, model, port, ...ended(end), epoch, openSeq);
  }

  delete(epoch: string, firstSeq: number, lastSeq: number): void {
    this.#delete.run(epoch, firstSeq, lastSeq);
  }

  /** The first calls of an epoch up to this seq, in order. */
  next(epoch: string, maxSeq: number, limit: number): UsageCall[] {
    return this.#next.all(epoch, maxSeq, limit).map((row) => {
      const { epoch: _epoch, estimated, ...call } = row;
      return { ...call, estimated: estimated === 1 } as unknown as UsageCall;
    });
  }

  epochs(): string[] {
    const after = this.#db.prepare("SELECT min(epoch) AS epoch FROM calls WHERE epoch > ?");
    const epochs: string[] = [];
    for (let last: unknown = ""; typeof last === "string"; last = after.get(last)?.["epoch"])
      if (last !== "") epochs.push(last);
    return epochs;
  }

  close(): void {
    this.#db.close();
  }
}

/** In the order of the columns. */
function ended({
  outcome,
  promptTokens,
  cachedTokens,
  completionTokens,
  choices,
  estimated,
  durationMs,
}: CallEnd): (string | number | null)[] {
  return [outcome, promptTokens, cachedTokens, completionTokens, choices, Number(estimated), durationMs];
}

// SQLite's primary result codes (https://sqlite.org/rescode.html).
const BUSY = 5;
const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;

/** SQLite's primary result code; null for an error of the system. */
function resultCode(error: unknown): number | null {
  const { errcode } = error as { readonly errcode?: number };
  return errcode === undefined ? null : errcode & 0xff;
}

/** The system's error code, or SQLite's; `ENOSPC` if the disk is full or the journal has its maximum size. */
export function errorCode(error: unknown): string {
  const code = resultCode(error);
  if (code === null) return (error as NodeJS.ErrnoException).code ?? "EIO";
  return code === FULL ? "ENOSPC" : `SQLITE_${code}`;
}

export const isBusy = (error: unknown): boolean => resultCode(error) === BUSY;

export const isCorrupt = (error: unknown): boolean =>
  [CORRUPT, NOT_A_DATABASE].includes(resultCode(error) ?? 0);

/** Renames a corrupt journal with its log, for an examination; an earlier one is replaced. @returns its new name */
export function setAside(path: string): string {
  const aside = `${path}.corrupt`;
  rmSync(`${aside}-wal`, { force: true });
  renameSync(path, aside);
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  rmSync(`${path}-shm`, { force: true });
  return aside;
}
