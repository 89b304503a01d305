// Formats numbers and times for people. Pure; times are in UTC, as the service's are.
import { durationText } from "../../shared/duration.ts";

const COUNTS = new Intl.NumberFormat("en-US");

export const countText = (count: number): string => COUNTS.format(count);

/** A share in percent: one decimal below 10 and above 99, else none; 0 or 100 only if it is exact. */
export function shareText(part: number, total: number): string {
  if (total === 0 || part === 0) return "0 %";
  if (part >= total) return "100 %";
  const percent = (part / total) * 100;
  if (percent < 0.1) return "<0.1 %";
  if (percent > 99.9) return ">99.9 %";
  return percent < 10 || percent > 99 ? `${percent.toFixed(1)} %` : `${percent.toFixed(0)} %`;
}

/** `2026-11-23 14:05:09 UTC`. */
export function momentText(at: number | string): string {
  const text = new Date(at).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)} UTC`;
}

/** `2026-11-23`, with the time unless it is midnight. */
export function dayText(at: string): string {
  const text = new Date(at).toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

/** `3 min 5 s ago`, `in 2 d`. */
export function agoText(at: number, now: number): string {
  const duration = durationText(Math.abs(now - at));
  return at <= now ? `${duration} ago` : `in ${duration}`;
}
