// Writes one epoch's journal: each record at once, into the kernel, so that a kill -9 right after loses nothing; onto
// the disk itself in groups, so that a power cut loses half a second. A disk that refuses never stops a call: what it
// doesn't take waits in memory, up to a bound, and is counted as lost beyond it.
import type { JournalFiles, Segment } from "./files.ts";
import { encodeRecord, type EndRecord, type JournalRecord, type StartRecord } from "./record.ts";

/** Written records wait this long for their group's sync; with the sync itself it stays under a second. */
const SYNC_EVERY_MS = 500;

/** A disk that refused is asked again this often. */
const RETRY_EVERY_MS = 1_000;

/** Records that wait in memory while the disk refuses: half a megabyte, and at 50 calls/s 20 s of both kinds. */
const MAX_WAITING = 2_048;

export interface WriterState {
  readonly state: "ok" | "failing";
  /** Since when it fails, milliseconds since 1970; null while it doesn't. */
  readonly since: number | null;
  /** The system's word for it (`ENOSPC`, `EACCES`), or `BOUND`: the folder has reached its bound. Null while ok. */
  readonly reason: string | null;
  /** Calls of this process that the journal doesn't hold, or not with their end. */
  readonly lost: number;
}

export interface WriterOptions {
  readonly epoch: string;
  readonly files: JournalFiles;
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
  /** Bytes of other epochs' files in the folder. */
  readonly otherBytes: () => number;
  /** A file is followed by the next at this size. */
  readonly segmentBytes: number;
  /** All files of the folder together stop growing here. */
  readonly maxBytes: number;
  /** A new file has been begun. */
  readonly onSegment: (segment: Segment) => void;
}

/** Records get their number when they are written: numbers grow along the files, whatever had to wait. */
type Unnumbered = Omit<StartRecord, "seq"> | Omit<EndRecord, "seq">;

interface Trouble {
  readonly since: number;
  readonly reason: string;
}

interface OwnSegment {
  readonly segment: Segment;
  readonly fd: number;
  written: number;
  synced: number;
  /** Nothing more will be written to it. */
  full: boolean;
  closed: boolean;
}

export class JournalWriter {
  readonly #options: WriterOptions;
  #segments: OwnSegment[] = [];
  #lastNumber = 0;
  #lastSeq = 0;
  /** Calls that have begun and not ended, as far as this journal holds them. */
  readonly #open = new Map<string, Omit<StartRecord, "seq">>();
  /** What the disk didn't take, in order. */
  #waiting: Unnumbered[] = [];
  /** Why the disk takes no record, brings none to safety, or has no room left for ours. */
  #refused: Trouble | null = null;
  #unsynced: Trouble | null = null;
  #full: Trouble | null = null;
  #bytes = 0;
  #lost = 0;
  #syncTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> = Promise.resolve();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  get state(): WriterState {
    const trouble = this.#refused ?? this.#unsynced ?? (this.#isFull() ? this.#full : null);
    return {
      state: trouble === null ? "ok" : "failing",
      since: trouble?.since ?? null,
      reason: trouble?.reason ?? null,
      lost: this.#lost,
    };
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

  /** Writes a call's start; false where it was lost, and then its end isn't to be written either. */
  start(record: Omit<StartRecord, "seq">): boolean {
    // Once a start is taken there is room for its end: half of what may wait is for ends.
    if (this.#isFull() || this.#waiting.length >= MAX_WAITING / 2) {
      this.#lost += 1;
      return false;
    }
    this.#write(record);
    this.#open.set(record.callId, record);
    return true;
  }

  end(record: Omit<EndRecord, "seq">): void {
    if (!this.#open.has(record.callId)) return;
    if (this.#waiting.length >= MAX_WAITING) this.#lost += 1;
    else this.#write(record);
  }

  /** Notes what was acknowledged; where that can't be written, the same calls are handed out once more some day. */
  acknowledge(upTo: number): void {
    if (this.#waiting.length === 0 && this.#segments.length > 0) this.#put({ t: "ack", upTo });
  }

  /** How far a file of this epoch is safely on the disk, as a reader wants it. */
  readonly readable = (segment: Segment): number => {
    const own = this.#segments.find((each) => each.segment.number === segment.number);
    if (own === undefined) return Infinity;
    return own.full && own.synced === own.written ? Infinity : own.synced;
  };

  /** Files that were removed count no longer. */
  forget(segments: readonly Segment[]): void {
    const numbers = new Set(segments.map((segment) => segment.number));
    for (const own of this.#segments.filter((each) => numbers.has(each.segment.number))) {
      this.#close(own);
      this.#bytes -= own.written;
    }
    this.#segments = this.#segments.filter((own) => !numbers.has(own.segment.number));
  }

  /** Brings all that was written onto the disk. */
  async sync(): Promise<void> {
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    this.#syncTimer = null;
    this.#syncing = this.#syncing.then(() => this.#syncAll());
    await this.#syncing;
  }

  /** The last writes and the last sync. */
  async close(): Promise<void> {
    this.#writeWaiting();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    for (const own of this.#segments) own.full = true;
    await this.sync();
    for (const own of this.#segments) this.#close(own);
  }

  #isFull(): boolean {
    const { maxBytes, otherBytes, now } = this.#options;
    if (this.#bytes + otherBytes() < maxBytes) this.#full = null;
    else this.#full ??= { since: now(), reason: "BOUND" };
    return this.#full !== null;
  }

  #write(record: Unnumbered): void {
    if (this.#waiting.length === 0 && this.#put(record)) {
      if (record.t === "end") this.#open.delete(record.callId);
      return;
    }
    this.#waiting.push(record);
    this.#retryTimer ??= setTimeout(() => this.#writeWaiting(), RETRY_EVERY_MS).unref();
  }

  /** What waits, in order, as far as the disk takes it by now. */
  #writeWaiting(): void {
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    const waited = this.#waiting;
    this.#waiting = [];
    for (const record of waited) this.#write(record);
  }

  /** A record into the kernel, whole; false where the disk refused. What it took of it a reader skips. */
  #put(record: Unnumbered | Extract<JournalRecord, { t: "ack" }>): boolean {
    try {
      const own = this.#segmentFor();
      this.#append(own, record.t === "ack" ? record : { ...record, seq: ++this.#lastSeq });
    } catch (error) {
      this.#refused = this.#trouble(error, this.#refused);
      return false;
    }
    this.#refused = null;
    this.#syncSoon();
    return true;
  }

  #append(own: OwnSegment, record: JournalRecord): void {
    const bytes = Buffer.from(encodeRecord(record, this.#options.epoch));
    let at = 0;
    while (at < bytes.length) {
      const taken = this.#options.files.write(own.fd, bytes.subarray(at));
      at += taken;
      own.written += taken;
      this.#bytes += taken;
    }
  }

  /** The file that takes the next record: the newest, or a new one where that is full. */
  #segmentFor(): OwnSegment {
    const { epoch, files, segmentBytes, onSegment } = this.#options;
    const newest = this.#segments.at(-1);
    if (newest !== undefined && !newest.full && newest.written < segmentBytes) return newest;
    const segment = { epoch, number: this.#lastNumber + 1 };
    const fd = files.create(segment);
    const own: OwnSegment = { segment, fd, written: 0, synced: 0, full: false, closed: false };
    try {
      // Calls that are still open begin again here, so that the files before may go once their own are acknowledged.
      for (const start of this.#open.values()) this.#append(own, { ...start, seq: ++this.#lastSeq });
    } catch (error) {
      this.#close(own);
      this.#bytes -= own.written;
      files.discard(segment);
      throw error;
    }
    this.#lastNumber += 1;
    this.#segments.push(own);
    if (newest !== undefined) newest.full = true;
    onSegment(segment);
    return own;
  }

  #syncSoon(): void {
    this.#syncTimer ??= setTimeout(() => void this.sync(), SYNC_EVERY_MS).unref();
  }

  async #syncAll(): Promise<void> {
    for (const own of this.#segments) {
      const { written } = own;
      if (!own.closed && own.synced < written) {
        try {
          await this.#options.files.sync(own.fd);
        } catch (error) {
          this.#unsynced = this.#trouble(error, this.#unsynced);
          this.#syncSoon();
          return;
        }
        own.synced = written;
      }
      if (own.full && own.synced === own.written) this.#close(own);
    }
    this.#unsynced = null;
  }

  #close(own: OwnSegment): void {
    if (!own.closed) this.#options.files.close(own.fd);
    own.closed = true;
  }

  #trouble(error: unknown, known: Trouble | null): Trouble {
    const reason = (error as NodeJS.ErrnoException).code ?? "EIO";
    return { since: known?.since ?? this.#options.now(), reason };
  }
}
