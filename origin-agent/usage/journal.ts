// Records durably what each call costs: a start at its dispatch and an end at its end, in one SQLite file of the box.
// Returns the calls that the edge's ledger hasn't acknowledged, also those of agents that have exited.
//
// The records of one turn of the event loop share a transaction. A request is sent only after its start is in the kernel,
// so a kill -9 loses no call: one that ended in the last turn is booked as interrupted. The log is synced every half second, so
// a power cut loses less than a second, and moved into the database by a thread. The event loop waits for the disk only
// for the first record after that, which syncs the log's header, and if the log has reached its maximum size. A failing
// disk never stops a call: its records wait in memory, up to a limit, and are counted as lost beyond it.
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { isRecordName, type CallEnd, type CallStart, type UsageCall } from "../../shared/usage.ts";
import { CHECKPOINT_BYTES, errorCode, isBusy, isCorrupt, JournalTables, setAside } from "./tables.ts";

const SYNC_INTERVAL_MS = 500;

/** A failing disk is tried again at this interval. */
const RETRY_INTERVAL_MS = 1_000;

/** So often the records wait for another agent's transaction before that counts as a failure. */
const MAX_BUSY_TRIES = 3;

/** Calls whose start waits in memory while the disk fails: 20 s at 50 calls/s. */
const MAX_PENDING = 1_024;

/** Calls written in one transaction: 2 ms. */
const MAX_TRANSACTION = 256;

/** Size limit of the journal: about a million calls, days of a full box without a link to the edge. */
const MAX_JOURNAL_BYTES = 256 * 1024 * 1024;

/** A call without an end has its number in the order of the starts plus this: it comes after every ended one. */
const FIRST_OPEN = 2 ** 40;

/** The end of a call whose agent exits before it, so it is written with the start. */
const INTERRUPTED = {
  outcome: "interrupted",
  promptTokens: null,
  cachedTokens: null,
  completionTokens: null,
  choices: 0,
  estimated: true,
  durationMs: null,
} as const;

export interface JournalOptions {
  readonly folder: string;
  /** Names this process uniquely; up to 64 letters, digits and `-`. */
  readonly epoch: string;
  /** Whether the process of another epoch is running; until it exits, its calls belong to it. */
  readonly isAlive: (epoch: string) => boolean;
  /** Whether no other agent of this box is running: only then a corrupt file is set aside. */
  readonly isAlone: () => boolean;
  /** Called with the new path of a corrupt file. */
  readonly onSetAside?: (path: string) => void;
  readonly maxBytes?: number;
}

/** Calls of one epoch that aren't acknowledged, in order. */
export interface UsageBatch {
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
}

export interface JournalState {
  readonly state: "ok" | "failing";
  /** The system's error code (`EACCES`) or SQLite's; `ENOSPC` also if the journal has its maximum size; null while ok. */
  readonly reason: string | null;
  /** Calls of this process that aren't in the journal because it failed for too long. */
  readonly lost: number;
}

/** The server that finally answered a call. */
export type Served = Pick<CallStart, "port" | "model">;

export interface UsageJournal {
  /**
   * Records a call's dispatch by the end of the turn.
   * @param onStored called once it is in the kernel, or at once if the disk fails: the call may be sent.
   * @returns records its end, once, by the end of the turn; null removes a call that no server got.
   */
  start(call: CallStart, onStored?: () => void): (end: CallEnd | null, served?: Served) => void;
  /** Takes over the calls of processes that have exited; called at the start and every minute. @returns their epochs */
  adopt(): Promise<readonly string[]>;
  /** The first calls of one epoch that are on the disk and aren't acknowledged, at most `limit`; null if there are none. */
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

interface RecordedCall {
  readonly openSeq: number;
  start: CallStart;
  /** `removed`: no server got the call. */
  end: CallEnd | "open" | "removed";
  /** Whether its start is in the kernel. */
  isStored: boolean;
}

class SqliteJournal implements UsageJournal {
  readonly #options: JournalOptions;
  readonly #path: string;
  #tables: JournalTables | null = null;
  /** The log, opened for syncs. */
  #log: FileHandle | null = null;
  #starts = 0;
  /** The seq of the last call that ended and is in the kernel, and of the last one on the disk. */
  #seq = 0;
  #syncedSeq = 0;
  /** Calls with a record that isn't in the kernel: of this turn, or while the disk fails. */
  readonly #pending = new Set<RecordedCall>();
  #adopted: readonly string[] = [];
  #failedTries = 0;
  /** The error of the last write and of the last sync; null if it succeeded. */
  #writeError: string | null = null;
  #syncError: string | null = null;
  #lost = 0;
  #isScheduled = false;
  /** Calls that are sent once this turn's records are in the kernel. */
  #held: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> = Promise.resolve();
  /** The log's size at the last checkpoint. */
  #checkpointedSize = 0;
  #thread: Worker | null = null;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#path = join(options.folder, "usage.sqlite");
    this.#flush();
  }

  get state(): JournalState {
    const reason = this.#writeError ?? this.#syncError;
    return { state: reason === null ? "ok" : "failing", reason, lost: this.#lost };
  }

  start(
    { callId, keyId, agentType, model, port, startedAt }: CallStart,
    onStored?: () => void,
  ): ReturnType<UsageJournal["start"]> {
    if (this.#pending.size >= MAX_PENDING) {
      this.#lost += 1;
      onStored?.();
      return () => {};
    }
    const start: CallStart = {
      callId: nameOr(callId, "call"),
      keyId: nameOr(keyId, "other"),
      agentType: nameOr(agentType, "other"),
      model: nameOr(model, "other"),
      port,
      startedAt,
    };
    const call: RecordedCall = { openSeq: FIRST_OPEN + ++this.#starts, start, end: "open", isStored: false };
    this.#write(call);
    if (!this.#isScheduled) onStored?.();
    else if (onStored !== undefined) this.#held.push(onStored);
    return (end, served = start) => {
      if (call.end !== "open") return;
      call.end = end ?? "removed";
      call.start = { ...start, port: served.port, model: nameOr(served.model, "other") };
      this.#write(call);
    };
  }

  async adopt(): Promise<readonly string[]> {
    const { epoch: own, isAlive } = this.#options;
    const exited = (this.#tables?.epochs() ?? []).filter((epoch) => epoch !== own && !isAlive(epoch));
    const found = exited.filter((epoch) => !this.#adopted.includes(epoch));
    // Their last records may not be on the disk yet.
    if (found.length > 0) await this.sync();
    this.#adopted = exited;
    return found;
  }

  async unacknowledged(limit: number): Promise<UsageBatch | null> {
    for (const epoch of [...this.#adopted, this.#options.epoch]) {
      const maxSeq = epoch === this.#options.epoch ? this.#syncedSeq : Number.MAX_SAFE_INTEGER;
      const calls = this.#tables?.next(epoch, maxSeq, limit) ?? [];
      if (calls.length > 0) return { epoch, calls };
    }
    return null;
  }

  async acknowledge(epoch: string, seq: number): Promise<void> {
    const tables = this.#tables;
    tables?.transaction(() => tables.delete(epoch, 0, seq));
  }

  sync(): Promise<void> {
    this.#syncing = this.#syncing.then(() => this.#sync());
    return this.#syncing;
  }

  async close(): Promise<void> {
    await this.sync();
    await this.#thread?.terminate();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#log?.close();
    this.#tables?.close();
    this.#tables = null;
  }

  /** Until a failing disk can be written again, the sync's timer tries. */
  #write(call: RecordedCall): void {
    // Calls are written in the order of their ends.
    this.#pending.delete(call);
    this.#pending.add(call);
    if (this.#failedTries > 0 || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#endTurn());
  }

  #endTurn(): void {
    this.#isScheduled = false;
    this.#flush();
    const held = this.#held;
    this.#held = [];
    for (const onStored of held) onStored();
  }

  /** Writes the pending records; tries again later if the disk rejects them. */
  #flush(): void {
    try {
      const tables = this.#open();
      if (this.#pending.size > 0) this.#later(SYNC_INTERVAL_MS);
      while (this.#pending.size > 0) this.#store(tables, [...this.#pending].slice(0, MAX_TRANSACTION));
      this.#writeError = null;
      this.#failedTries = 0;
    } catch (error) {
      this.#failedTries += 1;
      // Another agent's transaction takes long only if that agent is frozen.
      if (!isBusy(error) || this.#failedTries > MAX_BUSY_TRIES) this.#writeError = errorCode(error);
      this.#later(RETRY_INTERVAL_MS);
    }
  }

  #store(tables: JournalTables, calls: readonly RecordedCall[]): void {
    const { epoch } = this.#options;
    let seq = this.#seq;
    // One statement a call.
    const write = ({ openSeq, start, end, isStored }: RecordedCall): void => {
      if (end === "open") tables.insert(epoch, openSeq, start, INTERRUPTED);
      else if (end === "removed") {
        if (isStored) tables.delete(epoch, openSeq, openSeq);
      } else if (isStored) tables.end(epoch, openSeq, ++seq, start, end);
      else tables.insert(epoch, ++seq, start, end);
    };
    const writeAll = (): void => calls.forEach(write);
    if (calls.length === 1) writeAll();
    else tables.transaction(writeAll);
    this.#seq = seq;
    for (const call of calls) {
      call.isStored = true;
      this.#pending.delete(call);
    }
  }

  async #sync(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#flush();
    const seq = this.#seq;
    try {
      if (this.#tables === null) return;
      this.#log ??= await open(`${this.#path}-wal`, "r+");
      await this.#log.datasync();
      this.#syncedSeq = seq;
      this.#syncError = null;
      this.#checkpointAfter((await this.#log.stat()).size);
    } catch (error) {
      this.#syncError = errorCode(error);
      this.#later(RETRY_INTERVAL_MS);
    }
  }

  /** Has the log moved into the database each time it has grown. @param size of the log's file */
  #checkpointAfter(size: number): void {
    this.#checkpointedSize = Math.min(this.#checkpointedSize, size);
    if (size < this.#checkpointedSize + CHECKPOINT_BYTES) return;
    this.#checkpointedSize = size;
    // Kept: starting a thread holds up the event loop for 20 ms.
    this.#thread ??= new Worker(new URL("./checkpoint.ts", import.meta.url), { workerData: this.#path })
      // Then the log grows until the next thread, or a commit, moves it.
      .once("error", () => (this.#thread = null));
    this.#thread.unref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#thread.postMessage(null);
  }

  /** The next sync, which first writes what is pending. */
  #later(ms: number): void {
    this.#timer ??= setTimeout(() => void this.sync(), ms).unref();
  }

  /** A corrupt file is replaced only before this process has used it, and while no other does. */
  #open(): JournalTables {
    const { isAlone, onSetAside, maxBytes = MAX_JOURNAL_BYTES } = this.#options;
    try {
      this.#tables ??= new JournalTables(this.#path, maxBytes);
    } catch (error) {
      if (!isCorrupt(error) || !isAlone()) throw error;
      const aside = setAside(this.#path);
      onSetAside?.(aside);
      this.#tables = new JournalTables(this.#path, maxBytes);
    }
    return this.#tables;
  }
}

const nameOr = (text: string, fallback: string): string => (isRecordName(text) ? text : fallback);
