// Records durably what each call costs: a start at its dispatch and an end at its end, in files of this process. Adopts
// the files of processes that have exited, and returns the calls that the edge's ledger hasn't acknowledged.
import { journalFolder, type FoundSegment, type JournalFiles, type Segment } from "./files.ts";
import { JournalReader } from "./reader.ts";
import { isRecordName, type CallEnd, type CallStart, type UsageCall } from "../../shared/usage.ts";
import { encodeRecord } from "./record.ts";
import { errorCode, JournalWriter, type WriterState } from "./writer.ts";

/** A file of this size is followed by the next: small, so that acknowledged files are removed soon. */
const SEGMENT_BYTES = 1024 * 1024;

/** Size limit of all journals together: about 400,000 calls, days of a full box without a link to the edge. */
const MAX_JOURNAL_BYTES = 256 * 1024 * 1024;

export interface JournalOptions {
  readonly folder: string;
  /** Names this process uniquely; up to 64 letters, digits and `-`. */
  readonly epoch: string;
  /** Whether the process of another epoch is running; until it exits, its files belong to it. */
  readonly isAlive: (epoch: string) => boolean;
  readonly segmentBytes?: number;
  readonly maxBytes?: number;
  readonly files?: JournalFiles;
}

/** Calls of one epoch that aren't acknowledged, in order. */
export interface UsageBatch {
  readonly epoch: string;
  readonly calls: readonly UsageCall[];
}

export interface JournalState extends WriterState {
  /** Number of lines that couldn't be read because a crash tore them or they are damaged. */
  readonly damaged: number;
}

export interface UsageJournal {
  /** Records a call's dispatch. @returns records its end, once. Both are in the kernel on return */
  start(call: CallStart): (end: CallEnd) => void;
  /** Takes over the files of processes that have exited; called at the start and every minute. @returns their epochs */
  adopt(): Promise<readonly string[]>;
  /** The oldest calls of one epoch that aren't acknowledged, at most `limit`; null if there are none. */
  unacknowledged(limit: number): Promise<UsageBatch | null>;
  /** The ledger has every call of this epoch up to this seq. */
  acknowledge(epoch: string, seq: number): Promise<void>;
  readonly state: JournalState;
  /** Writes everything to the disk: only calls that are there are returned. */
  sync(): Promise<void>;
  /** Writes everything to the disk, and removes this process's files if all their calls are acknowledged. */
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
  /** Epochs whose process has exited, oldest first. */
  #adopted: JournalReader[] = [];
  /** Bytes of other epochs' files. */
  #otherBytes = 0;
  /** The error of the last read; null if it succeeded. */
  #readError: string | null = null;
  /** Resolves when the last operation is done; operations run one at a time. */
  #lastOperation: Promise<unknown> = Promise.resolve();

  constructor(options: JournalOptions) {
    const { epoch, segmentBytes = SEGMENT_BYTES, maxBytes = MAX_JOURNAL_BYTES } = options;
    const files = options.files ?? journalFolder(options.folder);
    this.#options = options;
    this.#files = files;
    this.#writer = new JournalWriter({
      epoch,
      files,
      segmentBytes,
      maxBytes,
      otherBytes: () => this.#otherBytes,
      onSegment: (segment) => this.#own.add(segment),
    });
    this.#own = new JournalReader(epoch, files, this.#writer.readable);
  }

  get state(): JournalState {
    const damaged = [this.#own, ...this.#adopted].reduce((sum, reader) => sum + reader.damaged, 0);
    const { reason: writerReason, lost } = this.#writer.state;
    const reason = writerReason ?? this.#readError;
    return { state: reason === null ? "ok" : "failing", reason, lost, damaged };
  }

  start(call: CallStart): (end: CallEnd) => void {
    const callId = this.#uniqueId(call.callId);
    const { keyId, agentType, model, port, startedAt } = call;
    const written = this.#writer.start({
      t: "start",
      callId,
      keyId: nameOr(keyId, "other"),
      agentType: nameOr(agentType, "other"),
      model: nameOr(model, "other"),
      port,
      startedAt,
    });
    let ended = !written;
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
    return this.#serialize(async () => {
      const found = await this.#listOthers();
      const known = new Set(this.#adopted.map((reader) => reader.epoch));
      const orphans = Map.groupBy(
        found.toSorted((a, b) => a.changedAt - b.changedAt || a.number - b.number),
        ({ epoch }) => epoch,
      );
      const adopted: string[] = [];
      for (const [epoch, segments] of orphans) {
        if (known.has(epoch) || this.#options.isAlive(epoch)) continue;
        const reader = new JournalReader(epoch, this.#files);
        for (const segment of segments.toSorted((a, b) => a.number - b.number)) reader.add(segment);
        reader.close();
        this.#adopted.push(reader);
        adopted.push(epoch);
      }
      return adopted;
    });
  }

  unacknowledged(limit: number): Promise<UsageBatch | null> {
    return this.#serialize(async () => {
      this.#readError = null;
      for (const reader of this.#adopted) {
        const calls = await this.#next(reader, limit);
        if (calls.length > 0) return { epoch: reader.epoch, calls };
        if (this.#readError === null) await this.#removeAdopted(reader);
      }
      const calls = await this.#next(this.#own, limit);
      return calls.length > 0 ? { epoch: this.#own.epoch, calls } : null;
    });
  }

  acknowledge(epoch: string, seq: number): Promise<void> {
    return this.#serialize(async () => {
      if (!Number.isSafeInteger(seq) || seq < 0) return;
      if (epoch === this.#own.epoch) {
        this.#own.acknowledge(seq);
        this.#writer.acknowledge(seq);
        return this.#remove(this.#own.takeAcknowledged());
      }
      const reader = this.#adopted.find((each) => each.epoch === epoch);
      if (reader === undefined) return;
      reader.acknowledge(seq);
      if (await reader.isDone()) return this.#removeAdopted(reader);
      const newest = reader.segments.at(-1);
      // If this fails, a successor sends the same calls again, with the same seqs, which is harmless.
      if (newest)
        await this.#files.append(newest, encodeRecord({ t: "ack", upTo: seq }, epoch)).catch(ignore);
    });
  }

  sync(): Promise<void> {
    return this.#writer.sync();
  }

  close(): Promise<void> {
    return this.#serialize(async () => {
      await this.#writer.close();
      const allAcknowledged = this.#writer.openCalls === 0 && (await this.#own.next(1)).length === 0;
      if (allAcknowledged) await this.#remove(this.#own.segments);
    });
  }

  /** An epoch that can't be read doesn't block the others; `state` reports it. */
  async #next(reader: JournalReader, limit: number): Promise<UsageCall[]> {
    try {
      return await reader.next(limit);
    } catch (error) {
      this.#readError = errorCode(error);
      return [];
    }
  }

  /** Lists the files of all other epochs. */
  async #listOthers(): Promise<FoundSegment[]> {
    const found = (await this.#files.list()).filter(({ epoch }) => epoch !== this.#options.epoch);
    this.#otherBytes = found.reduce((sum, segment) => sum + segment.bytes, 0);
    return found;
  }

  /** Removes an epoch whose calls are all acknowledged: the newest file, which has the last acknowledgement, goes last. */
  async #removeAdopted(reader: JournalReader): Promise<void> {
    this.#adopted = this.#adopted.filter((each) => each !== reader);
    await this.#remove(reader.segments);
    await this.#listOthers().catch(ignore);
  }

  async #remove(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) await this.#files.remove(segment).catch(ignore);
    this.#writer.forget(segments.filter(({ epoch }) => epoch === this.#options.epoch));
  }

  /** The call's id, with a number if a call of that id is open; `call` if it isn't a valid name. */
  #uniqueId(callId: string): string {
    const id = nameOr(callId, "call");
    if (!this.#writer.isOpen(id)) return id;
    for (let copy = 2; ; copy += 1) {
      const next = `${id.slice(0, 116)}.${copy}`;
      if (!this.#writer.isOpen(next)) return next;
    }
  }

  /** Runs an operation after all earlier ones. */
  #serialize<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#lastOperation.then(operation);
    this.#lastOperation = result.catch(ignore);
    return result;
  }
}

const nameOr = (text: string, fallback: string): string => (isRecordName(text) ? text : fallback);

function ignore(): void {
  // `state` reports the failure, or the operation is tried again.
}
