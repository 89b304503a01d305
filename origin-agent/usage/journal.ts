// Records durably what each call costs: a start at its dispatch and an end at its end, in one SQLite file of the box.
// Takes over the calls of processes that have exited, and returns the calls that the edge's ledger hasn't acknowledged.
//
// The records of one turn of the event loop share a transaction, which puts them into the kernel: a kill -9 loses nothing
// that was sent to a client. The log is synced every half second and moved into the database by a thread, so the event
// loop never waits for the disk, and a power cut loses less than a second. A failing disk never stops a call: its records
// wait in memory, up to a limit, and are counted as lost beyond it.
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { isRecordName, type CallEnd, type CallStart, type UsageCall } from "../../shared/usage.ts";
import { CHECKPOINT_BYTES, errorCode, isCorrupt, JournalTables, setAside, type Served } from "./tables.ts";

const SYNC_INTERVAL_MS = 500;

/** A failing disk is tried again at this interval. */
const RETRY_INTERVAL_MS = 1_000;

/** Records that wait in memory while the disk fails: 20 s of starts and ends at 50 calls/s. */
const MAX_PENDING = 2_048;

/** Size limit of the journal: about a million calls, days of a full box without a link to the edge. */
const MAX_JOURNAL_BYTES = 256 * 1024 * 1024;

/** The reason if the journal has reached its size limit. */
export const SIZE_LIMIT = "SIZE_LIMIT";

export interface JournalOptions {
  readonly folder: string;
  /** Names this process uniquely; up to 64 letters, digits and `-`. */
  readonly epoch: string;
  /** Whether the process of another epoch is running; until it exits, its calls belong to it. */
  readonly isAlive: (epoch: string) => boolean;
  /** Whether no other agent has the file open: only then a corrupt one is set aside. */
  readonly isAlone: () => boolean;
  /** Called with the new name of a file that was corrupt at the start. */
  readonly onSetAside?: (file: string) => void;
  readonly maxBytes?: number;
}

/** Calls of one epoch that aren't acknowledged, in order. */
export interface UsageBatch {
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
}

export interface JournalState {
  readonly state: "ok" | "failing";
  /** The system's error code (`ENOSPC`, `EACCES`), SQLite's, or `SIZE_LIMIT`; null while ok. */
  readonly reason: string | null;
  /** Calls of this process of which the journal lacks the start or the end. */
  readonly lost: number;
}

export interface UsageJournal {
  /**
   * Records a call's dispatch.
   * @returns records its end, once, and what finally answered it. Each is in the kernel at the end of the turn.
   */
  start(call: CallStart): (end: CallEnd, served?: Served) => void;
  /** Takes over the calls of processes that have exited; called at the start and every minute. @returns their epochs */
  adopt(): Promise<readonly string[]>;
  /** The oldest calls of one epoch that are on the disk and aren't acknowledged, at most `limit`; null if there are none. */
  unacknowledged(limit: number): Promise<UsageBatch | null>;
  /** The ledger has every call of this epoch up to this seq. */
  acknowledge(epoch: string, seq: number): Promise<void>;
  readonly state: JournalState;
  /** Writes everything to the disk: only calls that are there are returned. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export function openUsageJournal(options: JournalOptions): UsageJournal {
  return new SqliteJournal(options);
}

type PendingRecord =
  | { readonly id: number; readonly start: CallStart }
  | { readonly id: number; readonly seq: number; readonly end: CallEnd; readonly served: Served };

class SqliteJournal implements UsageJournal {
  readonly #options: JournalOptions;
  readonly #path: string;
  #tables: JournalTables | null = null;
  /** The log, opened for syncs once it exists. */
  #log: FileHandle | null = null;
  #lastId = 0;
  #lastSeq = 0;
  /** The last seq that is in the kernel, and the last one on the disk. */
  #committedSeq = 0;
  #syncedSeq = 0;
  /** Records of this turn, or those that the disk rejected, in order. */
  #pending: PendingRecord[] = [];
  #isScheduled = false;
  #adopted: string[] = [];
  /** The error of the last write and of the last sync; null if it succeeded. */
  #writeError: string | null = null;
  #syncError: string | null = null;
  #bytes = 0;
  #lost = 0;
  #timer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> = Promise.resolve();
  /** Started with the journal: starting a thread holds up the event loop for tens of milliseconds. */
  #checkpointer: Worker | null = null;
  #isCheckpointing = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#path = join(options.folder, "usage.sqlite");
    try {
      this.#openFirst();
      this.#checkpointer = this.#startCheckpointer();
    } catch (error) {
      this.#writeError = errorCode(error);
      this.#later(RETRY_INTERVAL_MS);
    }
  }

  get state(): JournalState {
    const { maxBytes = MAX_JOURNAL_BYTES } = this.#options;
    const reason = this.#writeError ?? this.#syncError ?? (this.#bytes >= maxBytes ? SIZE_LIMIT : null);
    return { state: reason === null ? "ok" : "failing", reason, lost: this.#lost };
  }

  start(call: CallStart): (end: CallEnd, served?: Served) => void {
    // Half of the places are reserved for ends, so that every accepted start has room for its end.
    if (this.state.reason === SIZE_LIMIT || this.#pending.length >= MAX_PENDING / 2) {
      this.#lost += 1;
      return () => {};
    }
    const { callId, keyId, agentType, model, port, startedAt } = call;
    const id = ++this.#lastId;
    const start: CallStart = {
      callId: nameOr(callId, "call"),
      keyId: nameOr(keyId, "other"),
      agentType: nameOr(agentType, "other"),
      model: nameOr(model, "other"),
      port,
      startedAt,
    };
    this.#write({ id, start });
    let isEnded = false;
    return (end, served = start) => {
      if (isEnded) return;
      isEnded = true;
      if (this.#pending.length >= MAX_PENDING) this.#lost += 1;
      else {
        const { port: servedPort, model: servedModel } = served;
        const last = { port: servedPort, model: nameOr(servedModel, "other") };
        this.#write({ id, seq: ++this.#lastSeq, end, served: last });
      }
    };
  }

  async adopt(): Promise<readonly string[]> {
    const { epoch: own, isAlive } = this.#options;
    this.#flush();
    const tables = this.#open();
    const orphans = tables
      .epochs()
      .filter((epoch) => epoch !== own && !this.#adopted.includes(epoch) && !isAlive(epoch));
    if (orphans.length === 0) return [];
    tables.transaction(() => orphans.forEach((epoch) => tables.interrupt(epoch)));
    this.#adopted.push(...orphans);
    // Their last records may not be on the disk yet.
    await this.sync();
    return orphans;
  }

  async unacknowledged(limit: number): Promise<UsageBatch | null> {
    const { epoch: own } = this.#options;
    const tables = this.#open();
    for (const epoch of this.#adopted) {
      const calls = tables.next(epoch, Infinity, limit);
      if (calls.length > 0) return { epoch, calls };
      this.#adopted = this.#adopted.filter((other) => other !== epoch);
      tables.transaction(() => tables.forget(epoch));
    }
    const calls = tables.next(own, this.#syncedSeq, limit);
    return calls.length > 0 ? { epoch: own, calls } : null;
  }

  async acknowledge(epoch: string, seq: number): Promise<void> {
    if (!Number.isSafeInteger(seq) || seq < 0) return;
    const tables = this.#open();
    tables.transaction(() => tables.acknowledge(epoch, seq));
    this.#bytes = tables.bytes;
  }

  sync(): Promise<void> {
    this.#syncing = this.#syncing.then(() => this.#sync());
    return this.#syncing;
  }

  async close(): Promise<void> {
    await this.sync();
    await this.#checkpointer?.terminate();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#log?.close();
    const tables = this.#tables;
    if (tables === null) return;
    const { epoch } = this.#options;
    if (!tables.hasCalls(epoch)) tables.transaction(() => tables.forget(epoch));
    tables.close();
    this.#tables = null;
  }

  #write(record: PendingRecord): void {
    this.#pending.push(record);
    if (this.#isScheduled || this.#writeError !== null) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  /** Writes the pending records in one transaction; tries again later if the disk rejects them. */
  #flush(): void {
    this.#isScheduled = false;
    const records = this.#pending;
    if (records.length === 0 && this.#writeError === null) return;
    const { epoch } = this.#options;
    try {
      const tables = this.#open();
      tables.transaction(() => {
        for (const record of records) {
          if ("start" in record) tables.start(epoch, record.id, record.start);
          else tables.end(epoch, record.id, record.seq, record.end, record.served);
        }
      });
      this.#pending = [];
      this.#committedSeq = this.#lastSeq;
      this.#writeError = null;
      this.#later(SYNC_INTERVAL_MS);
    } catch (error) {
      this.#writeError = errorCode(error);
      this.#later(RETRY_INTERVAL_MS);
    }
  }

  async #sync(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#flush();
    const seq = this.#committedSeq;
    try {
      this.#log ??= await open(`${this.#path}-wal`, "r+");
      await this.#log.datasync();
      this.#syncedSeq = seq;
      this.#syncError = null;
      const { size } = await this.#log.stat();
      this.#bytes = (this.#tables?.bytes ?? 0) + Math.max(0, size - CHECKPOINT_BYTES);
      if (size > CHECKPOINT_BYTES) this.#checkpoint();
      if (this.state.reason === SIZE_LIMIT) this.#later(RETRY_INTERVAL_MS);
    } catch (error) {
      const code = errorCode(error);
      // Without a write there is no log yet.
      if (code === "ENOENT" && seq === 0) return;
      this.#syncError = code;
      this.#later(RETRY_INTERVAL_MS);
    }
  }

  /** Moves the log into the database; if that fails, the log grows until the next sync tries again. */
  #checkpoint(): void {
    if (this.#isCheckpointing) return;
    this.#isCheckpointing = true;
    this.#checkpointer ??= this.#startCheckpointer();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#checkpointer.postMessage("checkpoint");
  }

  #startCheckpointer(): Worker {
    const worker = new Worker(new URL("./checkpoint.ts", import.meta.url), { workerData: this.#path });
    worker.unref();
    worker.on("message", () => {
      this.#isCheckpointing = false;
    });
    worker.on("error", () => {
      this.#checkpointer = null;
      this.#isCheckpointing = false;
    });
    return worker;
  }

  /** The next sync, which also writes what waits. */
  #later(ms: number): void {
    this.#timer ??= setTimeout(() => void this.sync(), ms).unref();
  }

  #open(): JournalTables {
    this.#tables ??= new JournalTables(this.#path);
    return this.#tables;
  }

  /** At the start a corrupt file is replaced: later, or while another agent has it open, its records would be lost. */
  #openFirst(): void {
    const { isAlone, onSetAside } = this.#options;
    try {
      this.#open();
    } catch (error) {
      if (!isCorrupt(error) || !isAlone()) throw error;
      const file = setAside(this.#path, Date.now());
      onSetAside?.(file);
      this.#open();
    }
  }
}

const nameOr = (text: string, fallback: string): string => (isRecordName(text) ? text : fallback);
