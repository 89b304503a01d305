// Which stretch of time `GET /admin/usage` is asked for. Pure: the question comes checked in form, the clock passed in.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import {
  DAYS_KEPT_DAYS,
  HOURS_KEPT_DAYS,
  type UsageQuery,
  type UsageQuestion,
} from "../../shared/usage-report.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** What is told where nothing is asked: a month, by day. */
const DEFAULT_DAYS = 30;

export function usageRange(question: UsageQuestion, now: number): Result<UsageQuery> {
  const { by, key = null } = question;
  const today = now - (now % DAY_MS);
  const to = question.to === undefined ? today + DAY_MS : Date.parse(question.to);
  const from = question.from === undefined ? to - DEFAULT_DAYS * DAY_MS : Date.parse(question.from);
  const keptDays = by === "hour" ? HOURS_KEPT_DAYS : DAYS_KEPT_DAYS;
  const oldest = today - keptDays * DAY_MS;
  const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
  if (from >= to)
    return refused("from", `the stretch ends (${dayOf(to)}) before it begins; "to" is exclusive`);
  if (question.from === undefined && to <= oldest) return refused("to", tooOld(by, keptDays, dayOf(oldest)));
  if (question.from !== undefined && from < oldest)
    return refused("from", tooOld(by, keptDays, dayOf(oldest)));
  if (to > today + DAYS_KEPT_DAYS * DAY_MS) return refused("to", "lies years ahead; check its year");
  return ok({ from: Math.max(from, oldest), to, by, key });
}

function tooOld(by: UsageQuery["by"], days: number, oldest: string): string {
  const kept = by === "hour" ? "hours" : "days";
  const advice = by === "hour" ? ', or ask by "day"' : "";
  return `${kept} are kept for ${days} days; ask from ${oldest} on${advice}`;
}

function refused(param: "from" | "to", why: string): Result<never> {
  return refuse("invalid_request", `${param}: ${why}.`, { param });
}
