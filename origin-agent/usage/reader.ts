// Reads the files of one epoch in order, each byte once, and returns the calls that aren't acknowledged yet. It keeps no
// more of them in memory than were requested; the rest stays on the disk.
import type { UsageCall } from "../../shared/usage.ts";
import type { JournalFiles, Segment } from "./files.ts";
import { JournalFold } from "./fold.ts";
import { decodeLines } from "./record.ts";

/** About 1,000 records, 3 ms of work. */
const CHUNK_BYTES = 256 * 1024;

interface Part {
  readonly segment: Segment;
  /** Bytes that were read. */
  read: number;
  /** The seq of the last call that ended in this file. */
  lastSeq: number;
}

/** How many bytes of a file may be read: the rest may not be on the disk yet. Infinity: all of it, and it is complete. */
export type ReadableBytes = (segment: Segment) => number;

export class JournalReader {
  readonly epoch: string;
  readonly #files: JournalFiles;
  readonly #readable: ReadableBytes;
  readonly #fold = new JournalFold();
  readonly #parts: Part[] = [];
  /** Index of the part that is being read. */
  #current = 0;
  /** Calls that were read and aren't acknowledged. */
  #pending: UsageCall[] = [];
  #ackedSeq = 0;
  #closed = false;
  #interruptedAdded = false;
  #damaged = 0;

  constructor(epoch: string, files: JournalFiles, readable: ReadableBytes = () => Infinity) {
    this.epoch = epoch;
    this.#files = files;
    this.#readable = readable;
  }

  /** Number of lines that couldn't be read because a crash tore them or they are damaged. */
  get damaged(): number {
    return this.#damaged;
  }

  get segments(): Segment[] {
    return this.#parts.map((part) => part.segment);
  }

  add(segment: Segment): void {
    this.#parts.push({ segment, read: 0, lastSeq: 0 });
  }

  /** The first calls that aren't acknowledged, at most `limit`. */
  async next(limit: number): Promise<UsageCall[]> {
    while (this.#pending.length < limit && (await this.#readChunk()));
    return this.#pending.slice(0, limit);
  }

  acknowledge(seq: number): void {
    this.#ackedSeq = Math.max(this.#ackedSeq, seq);
    const first = this.#pending.findIndex((call) => call.seq > this.#ackedSeq);
    this.#pending = first < 0 ? [] : this.#pending.slice(first);
  }

  /** The epoch's process has exited: calls without an end are returned as interrupted, after all others. */
  close(): void {
    this.#closed = true;
  }

  /** Whether every call of a closed epoch is acknowledged. */
  async isDone(): Promise<boolean> {
    return this.#closed && (await this.next(1)).length === 0;
  }

  /**
   * Removes and returns the first files, as far as all their calls are acknowledged. A file stays until the next one has
   * been read from: only then are the starts of its open calls certainly on the disk again, in the next file.
   */
  takeAcknowledged(): Segment[] {
    const kept = this.#parts.findIndex(
      (part, index) => part.lastSeq > this.#ackedSeq || (this.#parts[index + 1]?.read ?? 0) === 0,
    );
    const taken = this.#parts.splice(0, kept);
    this.#current -= taken.length;
    return taken.map((part) => part.segment);
  }

  /** @returns false if there is nothing more to read for now */
  async #readChunk(): Promise<boolean> {
    const part = this.#parts[this.#current];
    if (part === undefined) return this.#addInterrupted();
    const readable = this.#readable(part.segment);
    const length = Math.min(CHUNK_BYTES, readable - part.read);
    const bytes = length > 0 ? await this.#files.read(part.segment, part.read, length) : NO_BYTES;
    const { records, read, damaged } = decodeLines(bytes, this.epoch);
    part.read += read;
    this.#damaged += damaged;
    for (const record of records) {
      const call = this.#fold.push(record);
      if (call === null) continue;
      part.lastSeq = call.seq;
      this.#pending.push(call);
    }
    this.acknowledge(this.#fold.ackedSeq);
    if (read > 0) return true;
    // A line longer than a chunk isn't a record. It is skipped, so that the next lines are read.
    if (bytes.length === CHUNK_BYTES) {
      part.read += bytes.length;
      this.#damaged += 1;
      return true;
    }
    if (readable !== Infinity) return false;
    // The rest of a complete file is a torn line.
    if (bytes.length > 0) this.#damaged += 1;
    this.#current += 1;
    return true;
  }

  #addInterrupted(): boolean {
    if (!this.#closed || this.#interruptedAdded) return false;
    this.#interruptedAdded = true;
    this.#pending.push(...this.#fold.interrupted().filter((call) => call.seq > this.#ackedSeq));
    return true;
  }
}

const NO_BYTES = Buffer.alloc(0);
