// Reads one epoch's files, in order and each byte once, into calls that nobody has acknowledged yet. It holds no
// more of them than it was asked for; the rest waits on the disk.
import { JournalFold } from "./fold.ts";
import type { JournalFiles, Segment } from "./files.ts";
import type { UsageCall } from "../../shared/usage.ts";
import { decodeLines } from "./record.ts";

/** Read at a time: about 1,000 records, 3 ms of work. */
const CHUNK_BYTES = 256 * 1024;

interface Part {
  readonly segment: Segment;
  read: number;
  /** The last number of a call that ended in this file. */
  lastCall: number;
}

/** How far a file may be read for now: what lies beyond isn't on the disk for certain. Infinity: all of it, and no more will come. */
export type Readable = (segment: Segment) => number;

export class JournalReader {
  readonly epoch: string;
  readonly #files: JournalFiles;
  readonly #readable: Readable;
  readonly #fold = new JournalFold();
  readonly #parts: Part[] = [];
  /** The part being read. */
  #at = 0;
  #waiting: UsageCall[] = [];
  #acknowledged = 0;
  #closed = false;
  #interruptionsTold = false;
  #damaged = 0;

  constructor(epoch: string, files: JournalFiles, readable: Readable = () => Infinity) {
    this.epoch = epoch;
    this.#files = files;
    this.#readable = readable;
  }

  /** Lines that couldn't be read: torn by a crash, or damaged. */
  get damaged(): number {
    return this.#damaged;
  }

  get segments(): Segment[] {
    return this.#parts.map((part) => part.segment);
  }

  add(segment: Segment): void {
    this.#parts.push({ segment, read: 0, lastCall: 0 });
  }

  /** The first calls in order that aren't acknowledged, at most `limit`. */
  async next(limit: number): Promise<UsageCall[]> {
    while (this.#waiting.length < limit && (await this.#readOn()));
    return this.#waiting.slice(0, limit);
  }

  acknowledge(upTo: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, upTo);
    const first = this.#waiting.findIndex((call) => call.seq > this.#acknowledged);
    this.#waiting = first < 0 ? [] : this.#waiting.slice(first);
  }

  /** No process writes here any more: calls without an end are interrupted ones, after all the others. */
  closeWhenRead(): void {
    this.#closed = true;
  }

  /** Whether every call of a closed epoch has been acknowledged. */
  async isDone(): Promise<boolean> {
    return this.#closed && (await this.next(1)).length === 0;
  }

  /**
   * Takes out the files at the front whose calls have all been acknowledged. Not before the file after them has been
   * read from: then it is safely on the disk that the calls which were still open begin again there.
   */
  takeDone(): Segment[] {
    const kept = this.#parts.findIndex(
      (part, index) => part.lastCall > this.#acknowledged || (this.#parts[index + 1]?.read ?? 0) === 0,
    );
    const taken = this.#parts.splice(0, kept);
    this.#at -= taken.length;
    return taken.map((part) => part.segment);
  }

  /** Reads a chunk; false where there is no more for now. */
  async #readOn(): Promise<boolean> {
    const part = this.#parts[this.#at];
    if (part === undefined) return this.#interruptions();
    const readable = this.#readable(part.segment);
    const length = Math.min(CHUNK_BYTES, readable - part.read);
    const bytes = length > 0 ? await this.#files.read(part.segment, part.read, length) : NOTHING;
    const { records, read, damaged } = decodeLines(bytes, this.epoch);
    part.read += read;
    this.#damaged += damaged;
    for (const record of records) {
      const call = this.#fold.push(record);
      if (call === null) continue;
      part.lastCall = call.seq;
      this.#waiting.push(call);
    }
    this.acknowledge(this.#fold.acknowledged);
    if (read > 0) return true;
    // A line longer than a chunk is none of ours: skipped, so that what follows is read.
    if (bytes.length === CHUNK_BYTES) {
      part.read += bytes.length;
      this.#damaged += 1;
      return true;
    }
    if (readable !== Infinity) return false;
    // What is left here is a torn line; the next file begins anew.
    if (bytes.length > 0) this.#damaged += 1;
    this.#at += 1;
    return true;
  }

  #interruptions(): boolean {
    if (!this.#closed || this.#interruptionsTold) return false;
    this.#interruptionsTold = true;
    this.#waiting.push(...this.#fold.interrupted().filter((call) => call.seq > this.#acknowledged));
    return true;
  }
}

const NOTHING = Buffer.alloc(0);
