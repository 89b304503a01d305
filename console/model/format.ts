// Formats figures. An unknown one is a dash, never 0.

import { durationText } from "../../shared/duration.ts";

export const UNKNOWN = "–";

const NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split(" ");

/** "one server", "five servers", "13 servers". */
export function quantityText(count: number, singular: string, plural = `${singular}s`): string {
  return `${spelledNumber(count)} ${count === 1 ? singular : plural}`;
}

/** Numbers up to twelve are spelled out. */
export function spelledNumber(count: number): string {
  return NUMBERS[count] ?? figure(count);
}

const TOO_LONG = 1e10;

export function figure(value: number | null | undefined, digits = 0): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  // A figure of this size is a fault; its digits mustn't push the page apart.
  if (Math.abs(value) >= TOO_LONG) return value.toExponential(1).replace("e+", " × 10^");
  return value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function gib(value: number | null): string {
  return value === null ? UNKNOWN : `${figure(value, 1)} GiB`;
}

/** "280 ms", "1.4 s": three digits are enough for a latency. */
export function latency(ms: number | null): string {
  if (ms === null) return UNKNOWN;
  if (ms >= 100_000) return durationText(ms);
  return ms < 1000 ? `${figure(ms)} ms` : `${figure(ms / 1000, ms < 10_000 ? 1 : 0)} s`;
}

/** Tokens, shortened from 10,000 on: "850", "12.4 k", "3.1 M". */
export function tokens(count: number): string {
  if (count < 10_000) return figure(count);
  if (count < 1_000_000) return `${figure(count / 1000, 1)} k`;
  if (count < 1_000_000_000) return `${figure(count / 1_000_000, 1)} M`;
  if (count < 1_000_000_000_000) return `${figure(count / 1_000_000_000, 1)} G`;
  return `${figure(count / 1_000_000_000_000, 1)} T`;
}

/** "3.2 %", "< 0.1 %"; a dash if the share is unknown. */
export function percent(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return UNKNOWN;
  if (value > 0 && value < 0.001) return "< 0.1 %";
  return `${figure(value * 100, value === 0 || value >= 0.1 ? 0 : 1)} %`;
}

/** A rate per second: "0.04", "3.2", "120". */
export function rate(perSecond: number | null): string {
  if (perSecond === null) return UNKNOWN;
  if (perSecond > 0 && perSecond < 0.01) return "< 0.01";
  return figure(perSecond, perSecond === 0 || perSecond >= 100 ? 0 : perSecond < 1 ? 2 : 1);
}

/** A share, limited to 0 to 1 for any input: a bar must not leave its frame. */
export function share(part: number | null, total: number): number {
  if (part === null || !(total > 0) || !Number.isFinite(part)) return 0;
  return Math.min(Math.max(part / total, 0), 1);
}
