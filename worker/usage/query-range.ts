// Decides which time range `GET /admin/usage` sums, or why it can't. Pure: the parsed query and the clock are passed in.
import { DAY_MS, dayName, dayStart } from "../../shared/calendar.ts";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import {
  DAYS_KEPT_DAYS,
  HOURS_KEPT_DAYS,
  MAX_SPLIT_HOURS_DAYS,
  type UsageQuery,
} from "../../shared/usage-report.ts";
import type { UsageRequest } from "./query.ts";

/** The default range, by day. */
const DEFAULT_DAYS = 30;

export function usageRequest(query: UsageQuery, now: number): Result<UsageRequest> {
  const { by, split, key = null } = query;
  const today = dayStart(now);
  const to = query.to === undefined ? today + DAY_MS : Date.parse(query.to);
  const from = query.from === undefined ? to - DEFAULT_DAYS * DAY_MS : Date.parse(query.from);
  const keptDays = by === "hour" ? HOURS_KEPT_DAYS : DAYS_KEPT_DAYS;
  const oldest = today - keptDays * DAY_MS;
  if (from >= to) return refused("from", `must be before "to" (${dayName(to)}), which is exclusive`);
  if (query.from === undefined && to <= oldest) return refused("to", tooOld(by, keptDays, oldest));
  if (query.from !== undefined && from < oldest) return refused("from", tooOld(by, keptDays, oldest));
  if (to > today + DAYS_KEPT_DAYS * DAY_MS) return refused("to", "is years ahead; check its year");
  if (split === undefined) return ok({ from: Math.max(from, oldest), to, by, key });
  if (by !== "day" && by !== "hour") return refused("split", 'works with "by=day" and "by=hour" only');
  if (by === "hour" && to - from > MAX_SPLIT_HOURS_DAYS * DAY_MS)
    return refused(
      "from",
      `hours can be split for up to ${MAX_SPLIT_HOURS_DAYS} days; request them by "day"`,
    );
  return ok({ from: Math.max(from, oldest), to, by, key, split });
}

function tooOld(by: UsageQuery["by"], days: number, oldest: number): string {
  const kept = by === "hour" ? "hours" : "days";
  const advice = by === "hour" ? ', or request it by "day"' : "";
  return `${kept} are stored for ${days} days; request a range from ${dayName(oldest)} on${advice}`;
}

function refused(param: "from" | "to" | "split", reason: string): Result<never> {
  return refuse("invalid_request", `${param}: ${reason}.`, { param });
}
