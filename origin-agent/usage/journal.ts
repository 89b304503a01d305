// What each call cost, never lost: a start at its dispatch and an end at its end, in files of this process's own; the
// files that processes before it left behind; and the calls that are still to be told to somebody who keeps them.
import { journalFolder, type FoundSegment, type JournalFiles, type Segment } from "./files.ts";
import { JournalReader } from "./reader.ts";
import { isRecordName, type CallEnd, type CallStart, type UsageCall } from "../../shared/usage.ts";
import { encodeRecord } from "./record.ts";
import { JournalWriter, type WriterState } from "./writer.ts";

/** A file is followed by the next at this size: small enough that what is acknowledged goes soon, file by file. */
const SEGMENT_BYTES = 1024 * 1024;

/** All journals together stop growing here: some 400,000 calls, days of a full box that can't reach its edge. */
const MAX_JOURNAL_BYTES = 256 * 1024 * 1024;

export interface JournalOptions {
  readonly folder: string;
  /** Names this process for good: letters, digits and `-`, at most 64. */
  readonly epoch: string;
  /** Whether the process of another epoch still runs: its files are its own until then. */
  readonly isAlive: (epoch: string) => boolean;
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
  readonly segmentBytes?: number;
  readonly maxBytes?: number;
  readonly files?: JournalFiles;
}

/** Calls of one epoch, in order, that nobody has acknowledged. */
export interface UsageBatch {
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
}

export interface JournalState extends WriterState {
  /** Bytes of all the folder's journals, as far as this process knows. */
  readonly bytes: number;
  /** Lines that couldn't be read: torn by a crash or damaged. */
  readonly damaged: number;
}

export interface UsageJournal {
  /** Notes that a call is being dispatched; what it gives notes the end, once. Both are in the kernel on return. */
  start(call: CallStart): (end: CallEnd) => void;
  /** Takes over what processes that are gone left behind; to be asked at the start and every minute. */
  adopt(): Promise<readonly string[]>;
  /** The oldest calls not acknowledged, at most `limit`, of one epoch; null where there are none. */
  unacknowledged(limit: number): Promise<UsageBatch | null>;
  /** Every call of this epoch up to this number is kept elsewhere now. */
  acknowledge(epoch: string, seq: number): Promise<void>;
  readonly state: JournalState;
  /** Brings all that was written onto the disk: only what is there is handed out. */
  sync(): Promise<void>;
  /** Brings everything onto the disk; removes the own files where nothing in them is still to be told. */
  close(): Promise<void>;
}

export function openUsageJournal(options: JournalOptions): UsageJournal {
  return new FolderJournal(options);
}

class FolderJournal implements UsageJournal {
  readonly #options: JournalOptions;
  readonly #files: JournalFiles;
  readonly #writer: JournalWriter;
  readonly #own: JournalReader;
  /** Epochs whose process is gone, oldest first. */
  #gone: JournalReader[] = [];
  #otherBytes = 0;
  #unread: { readonly since: number; readonly reason: string } | null = null;
  /** Reading, acknowledging and adopting take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: JournalOptions) {
    const { epoch, now, segmentBytes = SEGMENT_BYTES, maxBytes = MAX_JOURNAL_BYTES } = options;
    const files = options.files ?? journalFolder(options.folder);
    this.#options = options;
    this.#files = files;
    this.#writer = new JournalWriter({
      epoch,
      files,
      now,
      segmentBytes,
      maxBytes,
      otherBytes: () => this.#otherBytes,
      onSegment: (segment) => this.#own.add(segment),
    });
    this.#own = new JournalReader(epoch, files, this.#writer.readable);
  }

  get state(): JournalState {
    const damaged = [this.#own, ...this.#gone].reduce((sum, reader) => sum + reader.damaged, 0);
    const writer = this.#writer.state;
    const trouble =
      writer.state === "ok" && this.#unread !== null ? { state: "failing" as const, ...this.#unread } : {};
    return { ...writer, ...trouble, bytes: this.#otherBytes + this.#writer.bytes, damaged };
  }

  start(call: CallStart): (end: CallEnd) => void {
    const callId = this.#freeId(call.callId);
    const { keyId, agentType, model, port, startedAt } = call;
    const taken = this.#writer.start({
      t: "start",
      callId,
      keyId: nameOr(keyId, "other"),
      agentType: nameOr(agentType, "other"),
      model: nameOr(model, "other"),
      port,
      startedAt,
    });
    let ended = !taken;
    return (end) => {
      if (ended) return;
      ended = true;
      const { outcome, promptTokens, cachedTokens, completionTokens, choices, estimated, durationMs } = end;
      this.#writer.end({
        t: "end",
        callId,
        outcome,
        promptTokens,
        cachedTokens,
        completionTokens,
        choices,
        estimated,
        durationMs,
      });
    };
  }

  adopt(): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      const found = await this.#others();
      const known = new Set(this.#gone.map((reader) => reader.epoch));
      const orphans = Map.groupBy(
        found.toSorted((a, b) => a.changedAt - b.changedAt || a.number - b.number),
        ({ epoch }) => epoch,
      );
      const adopted: string[] = [];
      for (const [epoch, segments] of orphans) {
        if (known.has(epoch) || this.#options.isAlive(epoch)) continue;
        const reader = new JournalReader(epoch, this.#files);
        for (const segment of segments.toSorted((a, b) => a.number - b.number)) reader.add(segment);
        reader.closeWhenRead();
        this.#gone.push(reader);
        adopted.push(epoch);
      }
      return adopted;
    });
  }

  unacknowledged(limit: number): Promise<UsageBatch | null> {
    return this.#inTurn(async () => {
      this.#unread = null;
      for (const reader of this.#gone) {
        const calls = await this.#next(reader, limit);
        if (calls.length > 0) return { epoch: reader.epoch, calls };
        if (this.#unread === null) await this.#drop(reader);
      }
      const calls = await this.#next(this.#own, limit);
      return calls.length > 0 ? { epoch: this.#own.epoch, calls } : null;
    });
  }

  acknowledge(epoch: string, seq: number): Promise<void> {
    return this.#inTurn(async () => {
      if (!Number.isSafeInteger(seq) || seq < 0) return;
      if (epoch === this.#own.epoch) {
        this.#own.acknowledge(seq);
        this.#writer.acknowledge(seq);
        return this.#remove(this.#own.takeDone());
      }
      const reader = this.#gone.find((each) => each.epoch === epoch);
      if (reader === undefined) return;
      reader.acknowledge(seq);
      if (await reader.isDone()) return this.#drop(reader);
      const newest = reader.segments.at(-1);
      // Where this can't be written, a successor tells the same calls again, under the same numbers.
      if (newest)
        await this.#files.append(newest, encodeRecord({ t: "ack", upTo: seq }, epoch)).catch(ignore);
    });
  }

  sync(): Promise<void> {
    return this.#writer.sync();
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#writer.close();
      const nothingLeft = this.#writer.openCalls === 0 && (await this.#own.next(1)).length === 0;
      if (nothingLeft) await this.#remove(this.#own.segments);
    });
  }

  /** One epoch that can't be read keeps none of the others back; `state` says so. */
  async #next(reader: JournalReader, limit: number): Promise<UsageCall[]> {
    try {
      return await reader.next(limit);
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? "EIO";
      this.#unread = { since: this.#options.now(), reason };
      return [];
    }
  }

  /** Other epochs' files, whoever's they are. */
  async #others(): Promise<FoundSegment[]> {
    const found = (await this.#files.list()).filter(({ epoch }) => epoch !== this.#options.epoch);
    this.#otherBytes = found.reduce((sum, segment) => sum + segment.bytes, 0);
    return found;
  }

  /** A gone epoch has nothing left to tell: oldest file first, so that the newest, with the last mark, goes last. */
  async #drop(reader: JournalReader): Promise<void> {
    this.#gone = this.#gone.filter((each) => each !== reader);
    await this.#remove(reader.segments);
    await this.#others().catch(ignore);
  }

  async #remove(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) await this.#files.remove(segment).catch(ignore);
    this.#writer.forget(segments.filter(({ epoch }) => epoch === this.#options.epoch));
  }

  /** The call's id, unless a call of that id is still open or it is no name: then one that says which it is. */
  #freeId(callId: string): string {
    const id = nameOr(callId, "call");
    if (!this.#writer.isOpen(id)) return id;
    for (let again = 2; ; again += 1) {
      const next = `${id.slice(0, 116)}.${again}`;
      if (!this.#writer.isOpen(next)) return next;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(ignore);
    return done;
  }
}

const nameOr = (text: string, otherwise: string): string => (isRecordName(text) ? text : otherwise);

function ignore(): void {
  // Said by `state`, or tried again by itself.
}
