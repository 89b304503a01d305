// One line of a usage journal: what may stand in it, how it is written and how a good one is told from a torn or
// damaged one. It knows no files. Names and numbers only: there is no field that could hold a prompt or an answer.
import { crc32 } from "node:zlib";
import * as z from "zod";

/**
 * How a call ended. `complete`: whole. `aborted`: its client left. `broken`: its server died or went silent in the
 * middle. `refused`: no server took it. `expired`: its deadline came. `interrupted`: the agent itself died, so
 * nobody saw the end; no agent writes this, the one that finds the journal books it.
 */
export const OUTCOMES = ["complete", "aborted", "broken", "refused", "expired", "interrupted"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Longest name in a record, characters. */
const MAX_NAME = 128;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

const name = z.string().max(MAX_NAME).regex(NAME);
const count = z.int().min(0);
/** What was counted; null is unknown, which is not 0. */
const tokens = count.nullable();

const callStart = {
  callId: name,
  keyId: name,
  agentType: name,
  model: name,
  port: z.int().min(1).max(65_535),
  /** Wall clock, milliseconds since 1970. */
  startedAt: count,
};

const callEnd = {
  outcome: z.enum(OUTCOMES),
  promptTokens: tokens,
  /** How many of the prompt's tokens came from a slot's cache. */
  cachedTokens: tokens,
  /** Over all choices. */
  completionTokens: tokens,
  choices: count,
  /** Whether the counts are ours rather than the server's own. */
  estimated: z.boolean(),
  durationMs: count.nullable(),
};

const StartRecord = z.strictObject({ t: z.literal("start"), seq: count, ...callStart });
const EndRecord = z.strictObject({ t: z.literal("end"), seq: count, callId: name, ...callEnd });
/** Everything up to `upTo` has been taken over by somebody who keeps it. It has no number of its own. */
const AckRecord = z.strictObject({ t: z.literal("ack"), upTo: count });
const JournalRecord = z.discriminatedUnion("t", [StartRecord, EndRecord, AckRecord]);

export type StartRecord = z.infer<typeof StartRecord>;
export type EndRecord = z.infer<typeof EndRecord>;
export type JournalRecord = z.infer<typeof JournalRecord>;

/** What is known of a call at its dispatch. */
export type CallStart = Readonly<Omit<StartRecord, "t" | "seq">>;
/** What is known of it at its end. */
export type CallEnd = Readonly<Omit<EndRecord, "t" | "seq" | "callId">>;
/** A call that ended, as it is handed on. `seq` grows along an epoch and names the call within it. */
export type UsageCall = CallStart & CallEnd & { readonly seq: number };

/** Whether a text may stand as a name in a record. What may not is never written, not even cut. */
export const isRecordName = (text: string): boolean => NAME.test(text);

/**
 * The bytes of a record: a line break, the checksum, a space, JSON, a line break. The break in front keeps what a
 * crash tore off, or a full disk cut short, from swallowing the line after it.
 */
export function encodeRecord(record: JournalRecord, epoch: string): string {
  const json = JSON.stringify(record);
  return `\n${checksum(json, epoch)} ${json}\n`;
}

/** The record of one line without its breaks; null where any bit of it isn't as it was written for this epoch. */
export function decodeRecord(line: Buffer, epoch: string): JournalRecord | null {
  if (line.length < CHECKSUM_LENGTH + 1 || line[CHECKSUM_LENGTH] !== SPACE) return null;
  const json = line.toString("utf8", CHECKSUM_LENGTH + 1);
  if (line.toString("latin1", 0, CHECKSUM_LENGTH) !== checksum(json, epoch)) return null;
  try {
    const parsed = JournalRecord.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** What a stretch of a journal holds, up to its last line break. */
export interface DecodedLines {
  readonly records: JournalRecord[];
  /** Bytes read; what is left is a line that isn't whole, or isn't whole yet. */
  readonly read: number;
  /** Lines that were damaged. */
  readonly damaged: number;
}

export function decodeLines(bytes: Buffer, epoch: string): DecodedLines {
  const records: JournalRecord[] = [];
  let read = 0;
  let damaged = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, read)) {
    if (end > read) {
      const record = decodeRecord(bytes.subarray(read, end), epoch);
      if (record === null) damaged += 1;
      else records.push(record);
    }
    read = end + 1;
  }
  return { records, read, damaged };
}

const NEWLINE = 0x0a;
const SPACE = 0x20;
const CHECKSUM_LENGTH = 8;

/** Over the epoch too, so that a line of another process's journal is no line of this one. */
function checksum(json: string, epoch: string): string {
  return crc32(json, crc32(epoch)).toString(16).padStart(CHECKSUM_LENGTH, "0");
}
