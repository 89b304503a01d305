// Encodes and decodes the lines of a usage journal, and detects torn and damaged ones. It knows no files. Records contain
// names and numbers only: no field could contain a prompt or an answer.
import { crc32 } from "node:zlib";
import * as z from "zod";
import { CallEnd, CallStart, recordName } from "../../shared/usage.ts";

const number = z.int().min(0);
const StartRecord = z.strictObject({ t: z.literal("start"), seq: number, ...CallStart.shape });
const EndRecord = z.strictObject({
  t: z.literal("end"),
  seq: number,
  callId: recordName,
  ...CallEnd.shape,
});
/** The ledger has everything up to seq `upTo`. This record has no seq of its own. */
const AckRecord = z.strictObject({ t: z.literal("ack"), upTo: number });
const JournalRecord = z.discriminatedUnion("t", [StartRecord, EndRecord, AckRecord]);

export type StartRecord = z.infer<typeof StartRecord>;
export type EndRecord = z.infer<typeof EndRecord>;
export type JournalRecord = z.infer<typeof JournalRecord>;

/**
 * The bytes of a record: a line break, the checksum, a space, JSON, a line break. The first line break ends a line that
 * a crash or a full disk truncated, so that this record stays readable.
 */
export function encodeRecord(record: JournalRecord, epoch: string): string {
  const json = JSON.stringify(record);
  return `\n${checksum(json, epoch)} ${json}\n`;
}

/** Decodes a line without its line breaks; null if it differs in any bit from a line written for this epoch. */
function decodeRecord(line: Buffer, epoch: string): JournalRecord | null {
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

/** The content of a part of a journal, up to its last line break. */
export interface DecodedLines {
  readonly records: JournalRecord[];
  /** Bytes decoded; the rest is a line that is incomplete, or not yet complete. */
  readonly read: number;
  /** Number of damaged lines. */
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

/** Covers the epoch too, so that a line of another process's journal is rejected. */
function checksum(json: string, epoch: string): string {
  if (epochSum.epoch !== epoch) epochSum = { epoch, sum: crc32(epoch) };
  return crc32(json, epochSum.sum).toString(16).padStart(CHECKSUM_LENGTH, "0");
}

/** Cached: consecutive lines belong to one epoch. */
let epochSum = { epoch: "", sum: 0 };
