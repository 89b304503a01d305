// Writes one epoch's journal: each record immediately to the kernel, so that a kill -9 loses nothing, and to the disk in
// groups, so that a power cut loses half a second. A failing disk never stops a call: records that it rejects wait in
// memory, up to a limit, and are counted as lost beyond it.
import type { JournalFiles, Segment } from "./files.ts";
import { encodeRecord, type EndRecord, type JournalRecord, type StartRecord } from "./record.ts";

/** Written records wait this long for a group's sync; together with the sync it stays under a second. */
const SYNC_INTERVAL_MS = 500;

/** A failing disk is tried again at this interval. */
const RETRY_INTERVAL_MS = 1_000;

/** Records that wait in memory while the disk fails: half a megabyte, or 20 s of starts and ends at 50 calls/s. */
const MAX_PENDING = 2_048;

/** The reason if all files together have reached their size limit. */
export const SIZE_LIMIT = "SIZE_LIMIT";

export interface WriterState {
  readonly state: "ok" | "failing";
  /** The system's error code (`ENOSPC`, `EACCES`) or `SIZE_LIMIT`; null while ok. */
  readonly reason: string | null;
  /** Calls of this process of which the journal lacks the start or the end. */
  readonly lost: number;
}

export interface WriterOptions {
  readonly epoch: string;
  readonly files: JournalFiles;
  /** Bytes of other epochs' files in the folder. */
  readonly otherBytes: () => number;
  /** A file of this size is followed by the next. */
  readonly segmentBytes: number;
  /** Size limit of all files in the folder together. */
  readonly maxBytes: number;
  /** Called when a new file has been started. */
  readonly onSegment: (segment: Segment) => void;
}

/** Records get their seq when they are written, so seqs ascend along the files even if some records had to wait. */
type UnnumberedRecord = Omit<StartRecord, "seq"> | Omit<EndRecord, "seq">;

interface OwnSegment {
  readonly segment: Segment;
  readonly fd: number;
  written: number;
  synced: number;
  /** Nothing more will be written to it. */
  complete: boolean;
  closed: boolean;
}

export class JournalWriter {
  readonly #options: WriterOptions;
  #segments: OwnSegment[] = [];
  #lastNumber = 0;
  #lastSeq = 0;
  /** The starts of calls whose end isn't written yet. */
  readonly #open = new Map<string, Omit<StartRecord, "seq">>();
  /** Records that the disk rejected, in order. */
  #pending: UnnumberedRecord[] = [];
  /** The error of the last write and of the last sync; null if it succeeded. */
  #writeError: string | null = null;
  #syncError: string | null = null;
  #bytes = 0;
  #lost = 0;
  #syncTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> = Promise.resolve();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  get state(): WriterState {
    const reason = this.#writeError ?? this.#syncError ?? (this.#isFull() ? SIZE_LIMIT : null);
    return { state: reason === null ? "ok" : "failing", reason, lost: this.#lost };
  }

  /** Bytes of this epoch's files. */
  get bytes(): number {
    return this.#bytes;
  }

  get openCalls(): number {
    return this.#open.size;
  }

  isOpen(callId: string): boolean {
    return this.#open.has(callId);
  }

  /** Writes a call's start. @returns false if it was lost; then its end must not be written either */
  start(record: Omit<StartRecord, "seq">): boolean {
    // Half of the pending records are reserved for ends, so that every accepted start has room for its end.
    if (this.#isFull() || this.#pending.length >= MAX_PENDING / 2) {
      this.#lost += 1;
      return false;
    }
    this.#write(record);
    this.#open.set(record.callId, record);
    return true;
  }

  end(record: Omit<EndRecord, "seq">): void {
    if (!this.#open.has(record.callId)) return;
    if (this.#pending.length >= MAX_PENDING) this.#lost += 1;
    else this.#write(record);
  }

  /** Writes an acknowledgement. If that fails, a successor sends the same calls again, which is harmless. */
  acknowledge(seq: number): void {
    if (this.#pending.length === 0 && this.#segments.length > 0) this.#tryWrite({ t: "ack", upTo: seq });
  }

  /** How many bytes of a file of this epoch are on the disk; for `JournalReader`. */
  readonly readable = (segment: Segment): number => {
    const own = this.#segments.find((each) => each.segment.number === segment.number);
    if (own === undefined) return Infinity;
    return own.complete && own.synced === own.written ? Infinity : own.synced;
  };

  /** The files were removed: their bytes no longer count. */
  forget(segments: readonly Segment[]): void {
    const numbers = new Set(segments.map((segment) => segment.number));
    for (const own of this.#segments.filter((each) => numbers.has(each.segment.number))) {
      this.#close(own);
      this.#bytes -= own.written;
    }
    this.#segments = this.#segments.filter((own) => !numbers.has(own.segment.number));
  }

  /** Resolves once everything written so far is on the disk, or the disk has failed. */
  async sync(): Promise<void> {
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    this.#syncTimer = null;
    this.#syncing = this.#syncing.then(() => this.#syncAll());
    await this.#syncing;
  }

  /** Tries the pending records a last time, syncs, and closes the files. */
  async close(): Promise<void> {
    this.#writePending();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    for (const own of this.#segments) own.complete = true;
    await this.sync();
    for (const own of this.#segments) this.#close(own);
  }

  #isFull(): boolean {
    const { maxBytes, otherBytes } = this.#options;
    return this.#bytes + otherBytes() >= maxBytes;
  }

  #write(record: UnnumberedRecord): void {
    if (this.#pending.length === 0 && this.#tryWrite(record)) {
      if (record.t === "end") this.#open.delete(record.callId);
      return;
    }
    this.#pending.push(record);
    this.#retryTimer ??= setTimeout(() => this.#writePending(), RETRY_INTERVAL_MS).unref();
  }

  /** Writes the pending records in order, until the disk rejects one. */
  #writePending(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    const pending = this.#pending;
    this.#pending = [];
    for (const record of pending) this.#write(record);
  }

  /** Writes a record to the kernel. @returns false if the disk rejected it; a reader skips a partial record */
  #tryWrite(record: UnnumberedRecord | Extract<JournalRecord, { t: "ack" }>): boolean {
    try {
      const own = this.#currentSegment();
      this.#append(own, record.t === "ack" ? record : { ...record, seq: ++this.#lastSeq });
    } catch (error) {
      this.#writeError = errorCode(error);
      return false;
    }
    this.#writeError = null;
    this.#scheduleSync();
    return true;
  }

  #append(own: OwnSegment, record: JournalRecord): void {
    const bytes = Buffer.from(encodeRecord(record, this.#options.epoch));
    let offset = 0;
    while (offset < bytes.length) {
      const count = this.#options.files.write(own.fd, bytes.subarray(offset));
      offset += count;
      own.written += count;
      this.#bytes += count;
    }
  }

  /** The file for the next record: the newest, or a new one if that has its full size. */
  #currentSegment(): OwnSegment {
    const { epoch, files, segmentBytes, onSegment } = this.#options;
    const newest = this.#segments.at(-1);
    if (newest !== undefined && !newest.complete && newest.written < segmentBytes) return newest;
    const segment = { epoch, number: this.#lastNumber + 1 };
    const fd = files.create(segment);
    const own: OwnSegment = { segment, fd, written: 0, synced: 0, complete: false, closed: false };
    try {
      // The starts of open calls are repeated, so that earlier files can be removed once their own calls are acknowledged.
      for (const start of this.#open.values()) this.#append(own, { ...start, seq: ++this.#lastSeq });
    } catch (error) {
      this.#close(own);
      this.#bytes -= own.written;
      files.discard(segment);
      throw error;
    }
    this.#lastNumber += 1;
    this.#segments.push(own);
    if (newest !== undefined) newest.complete = true;
    onSegment(segment);
    return own;
  }

  #scheduleSync(): void {
    this.#syncTimer ??= setTimeout(() => void this.sync(), SYNC_INTERVAL_MS).unref();
  }

  async #syncAll(): Promise<void> {
    for (const own of this.#segments) {
      const { written } = own;
      if (!own.closed && own.synced < written) {
        try {
          await this.#options.files.sync(own.fd);
        } catch (error) {
          this.#syncError = errorCode(error);
          this.#scheduleSync();
          return;
        }
        own.synced = written;
      }
      if (own.complete && own.synced === own.written) this.#close(own);
    }
    this.#syncError = null;
  }

  #close(own: OwnSegment): void {
    if (!own.closed) this.#options.files.close(own.fd);
    own.closed = true;
  }
}

/** The system's error code, such as `ENOSPC`. */
export const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "EIO";
