// One line of a usage journal: what may stand in it, how it is written and how a good one is told from a torn or
// damaged one. It knows no files. Names and numbers only: there is no field that could hold a prompt or an answer.
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
/** Everything up to `upTo` has been taken over by somebody who keeps it. It has no number of its own. */
const AckRecord = z.strictObject({ t: z.literal("ack"), upTo: number });
const JournalRecord = z.discriminatedUnion("t", [StartRecord, EndRecord, AckRecord]);

export type StartRecord = z.infer<typeof StartRecord>;
export type EndRecord = z.infer<typeof EndRecord>;
export type JournalRecord = z.infer<typeof JournalRecord>;

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
  if (summed.epoch !== epoch) summed = { epoch, sum: crc32(epoch) };
  return crc32(json, summed.sum).toString(16).padStart(CHECKSUM_LENGTH, "0");
}

/** Line after line is of one epoch. */
let summed = { epoch: "", sum: 0 };
