// Parses option values strictly: a misread number would set an unintended limit. Pure.
import { InvalidArgumentError } from "commander";
import * as z from "zod";

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

const valid = <T>(value: T): Parsed<T> => ({ ok: true, value });
export const invalid = (reason: string): { readonly ok: false; readonly reason: string } => ({
  ok: false,
  reason,
});

/** The parser in the form that commander takes. */
export function optionValue<T>(parser: (text: string) => Parsed<T>): (text: string) => T {
  return function parse(text) {
    const parsed = parser(text);
    if (!parsed.ok) throw new InvalidArgumentError(parsed.reason);
    return parsed.value;
  };
}

const isKeyword = (text: string, keyword: string): boolean => text.trim().toLowerCase() === keyword;

const COUNT = /^(\d{1,15}|\d{1,3}(?:_\d{3})+)(?:\.(\d{1,9}))?([kmg])?$/i;
const SUFFIX_ZEROS = { k: 3, m: 6, g: 9 } as const;

/** A whole number of at least 1: `250`, `5_000`, `5k`, `1.5M`, `2G`. */
export function parseCount(text: string): Parsed<number> {
  const reason = "It must be a whole number of at least 1, such as 250, 5k or 1.5M.";
  const [, integer, fraction = "", suffix] = COUNT.exec(text.trim()) ?? [];
  if (integer === undefined) return invalid(reason);
  const zeros = suffix === undefined ? 0 : SUFFIX_ZEROS[suffix.toLowerCase() as "k" | "m" | "g"];
  const digits = fraction.replace(/0+$/, "");
  if (digits.length > zeros) return invalid(reason);
  const value = Number(integer.replaceAll("_", "") + digits.padEnd(zeros, "0"));
  return value >= 1 && Number.isSafeInteger(value) ? valid(value) : invalid(reason);
}

/** The same, or `none` for no limit. Not null: commander treats an option's null as a missing value. */
export function parseLimit(text: string): Parsed<number | "none"> {
  if (isKeyword(text, "none")) return valid("none");
  const count = parseCount(text);
  return count.ok ? count : invalid(`${count.reason} \`none\` removes the limit.`);
}

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
const DURATION = /^(\d{1,7})([smhdw])$/;

/** A duration in seconds: `45s`, `90m`, `24h`, `7d`, `2w`, or `0`. */
export function parseDuration(text: string): Parsed<number> {
  const trimmed = text.trim();
  if (trimmed === "0") return valid(0);
  const [, count, unit] = DURATION.exec(trimmed) ?? [];
  if (count === undefined) return invalid("It must be a duration, such as 90m, 24h or 7d.");
  return valid(Number(count) * SECONDS[unit as keyof typeof SECONDS]);
}

const day = z.iso.date();
const instant = z.iso.datetime({ offset: true });

/** A day (its start, UTC) or a time with its time zone, as milliseconds since 1970. */
export function parseTime(text: string): Parsed<number> {
  const trimmed = text.trim();
  if (!day.safeParse(trimmed).success && !instant.safeParse(trimmed).success) {
    return invalid("It must be a day, such as 2027-01-31, or a time, such as 2027-01-31T18:00:00Z.");
  }
  return valid(Date.parse(trimmed));
}

/** The same, or `none`. */
export function parseTimeOrNone(text: string): Parsed<number | "none"> {
  return isKeyword(text, "none") ? valid("none") : parseTime(text);
}

const MONTH = /^\d{4}-(?:0[1-9]|1[0-2])$/;

/** The start of a month such as `2026-10`, as milliseconds since 1970. */
export function parseMonth(text: string): Parsed<number> {
  const month = text.trim();
  return MONTH.test(month) ? valid(Date.parse(month)) : invalid("It must be a month, such as 2026-10.");
}

/** Names separated by commas. */
export function parseNames(text: string): Parsed<string[]> {
  const names = text.split(",").map((name) => name.trim());
  if (names.some((name) => name === ""))
    return invalid("It must be names separated by commas: Intake,Radiology.");
  return valid([...new Set(names)]);
}

/** The same, or `all`. */
export function parseNamesOrAll(text: string): Parsed<string[] | "all"> {
  return isKeyword(text, "all") ? valid("all") : parseNames(text);
}

/** The form that the edge generates. */
const REQUEST_ID = /^req_[0-9a-f]{32}$/;

export function parseRequestId(text: string): Parsed<string> {
  const trimmed = text.trim();
  if (REQUEST_ID.test(trimmed)) return valid(trimmed);
  return invalid(
    "It must be req_ and 32 hexadecimal digits, as in x-request-id and in an error's request_id.",
  );
}
