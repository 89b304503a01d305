// What people type after an option, read strictly: a number that was misread is a limit nobody meant. Pure.
import { InvalidArgumentError } from "commander";
import * as z from "zod";

export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: string };

const read = <T>(value: T): Reading<T> => ({ ok: true, value });
const unread = (why: string): { readonly ok: false; readonly why: string } => ({ ok: false, why });

/** The reader as commander takes it. */
export function optionValue<T>(reader: (text: string) => Reading<T>): (text: string) => T {
  return function parse(text) {
    const reading = reader(text);
    if (!reading.ok) throw new InvalidArgumentError(reading.why);
    return reading.value;
  };
}

const saysWord = (text: string, word: string): boolean => text.trim().toLowerCase() === word;

const COUNT = /^(\d{1,15}|\d{1,3}(?:_\d{3})+)(?:\.(\d{1,9}))?([kmg])?$/i;
const SUFFIX_ZEROS = { k: 3, m: 6, g: 9 } as const;

/** A whole number from 1 up: `250`, `5_000`, `5k`, `1.5M`, `2G`. */
export function readCount(text: string): Reading<number> {
  const why = "It must be a whole number from 1 up, such as 250, 5k or 1.5M.";
  const [, whole, fraction = "", suffix] = COUNT.exec(text.trim()) ?? [];
  if (whole === undefined) return unread(why);
  const zeros = suffix === undefined ? 0 : SUFFIX_ZEROS[suffix.toLowerCase() as "k" | "m" | "g"];
  const digits = fraction.replace(/0+$/, "");
  if (digits.length > zeros) return unread(why);
  const value = Number(whole.replaceAll("_", "") + digits.padEnd(zeros, "0"));
  return value >= 1 && Number.isSafeInteger(value) ? read(value) : unread(why);
}

/** The same, or `none` for no limit. A word, since commander takes an option's null for one that was left empty. */
export function readLimit(text: string): Reading<number | "none"> {
  if (saysWord(text, "none")) return read("none");
  const count = readCount(text);
  return count.ok ? count : unread(`${count.why} \`none\` lifts the limit.`);
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
const SPAN = /^(\d{1,7})([smhdw])$/;

/** A length of time in seconds: `45s`, `90m`, `24h`, `7d`, `2w`, or `0`. */
export function readSpan(text: string): Reading<number> {
  const trimmed = text.trim();
  if (trimmed === "0") return read(0);
  const [, count, unit] = SPAN.exec(trimmed) ?? [];
  if (count === undefined) return unread("It must be a length of time, such as 90m, 24h or 7d.");
  return read(Number(count) * SECONDS[unit as keyof typeof SECONDS]);
}

const day = z.iso.date();
const instant = z.iso.datetime({ offset: true });

/** A day (its beginning, UTC) or a moment with its time zone, as milliseconds since 1970. */
export function readMoment(text: string): Reading<number> {
  const trimmed = text.trim();
  if (!day.safeParse(trimmed).success && !instant.safeParse(trimmed).success) {
    return unread("It must be a day, such as 2027-01-31, or a moment, such as 2027-01-31T18:00:00Z.");
  }
  return read(Date.parse(trimmed));
}

/** The same, or `none`. */
export function readMomentOrNone(text: string): Reading<number | "none"> {
  return saysWord(text, "none") ? read("none") : readMoment(text);
}

const MONTH = /^(\d{4})-(0[1-9]|1[0-2])$/;

/** `2026-10`, as its first moment, milliseconds since 1970. */
export function readMonth(text: string): Reading<number> {
  const [, year, month] = MONTH.exec(text.trim()) ?? [];
  if (year === undefined) return unread("It must be a month, such as 2026-10.");
  return read(Date.UTC(Number(year), Number(month) - 1, 1));
}

/** Names with commas between them. */
export function readNames(text: string): Reading<string[]> {
  const names = text.split(",").map((name) => name.trim());
  if (names.some((name) => name === ""))
    return unread("It must be names with commas between: Intake,Radiology.");
  return read([...new Set(names)]);
}

/** The same, or `all`. */
export function readNamesOrAll(text: string): Reading<string[] | "all"> {
  return saysWord(text, "all") ? read("all") : readNames(text);
}

/** As the edge makes them. */
const REQUEST_ID = /^req_[0-9a-f]{32}$/;

export function readRequestId(text: string): Reading<string> {
  const trimmed = text.trim();
  if (REQUEST_ID.test(trimmed)) return read(trimmed);
  return unread(
    "It must be req_ and 32 hexadecimal digits, as x-request-id and an error's request_id have it.",
  );
}
