// Builds the answer to `/admin/usage` from the ledger's sums: those of a time range, grouped in one of five ways; days
// and hours can be split again by the names that used most.
import { dayName, monthName, monthStart } from "../../shared/calendar.ts";
import {
  MAX_SPLIT_NAMES,
  type UsageGroup,
  type UsageReport,
  type UsageSplit,
  type UsageSums,
} from "../../shared/usage-report.ts";
import { NOTHING, plus } from "./booking.ts";
import { SUMS } from "./ledger-tables.ts";
import { sumsBy, sumsOfNames, type Sums, type SumsRequest } from "./sums.ts";
import { widened } from "./time-ranges.ts";

export interface UsageRequest extends SumsRequest {
  /** Only by day and by hour. */
  readonly split?: UsageSplit;
}

export function usageReport(sql: SqlStorage, request: UsageRequest, now: number): UsageReport {
  const { by, key, split } = request;
  const { from, to } = widened(request.from, request.to, now);
  const sums = sumsBy(sql, { from, to, by, key });
  const isTime = by === "day" || by === "hour";
  const groups = [...sums].toSorted(isTime ? earliestFirst : largestFirst);
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    by,
    ...(split === undefined ? {} : { split }),
    key,
    total: [...sums.values()].reduce(plus, NOTHING),
    rows:
      split === undefined
        ? groups.map(([group, each]) => ({
            group: isTime ? timeName(Number(group), by) : String(group),
            ...each,
          }))
        : splitRows(sql, { from, to, by, key }, split, groups),
  };
}

/** Each day or hour once for each of the largest names, and once for all others. */
function splitRows(
  sql: SqlStorage,
  request: SumsRequest,
  split: UsageSplit,
  times: readonly Group[],
): UsageReport["rows"] {
  const largest = [...sumsBy(sql, { ...request, by: split })]
    .toSorted(largestFirst)
    .slice(0, MAX_SPLIT_NAMES);
  const series = sumsOfNames(
    sql,
    request,
    split,
    largest.map(([name]) => String(name)),
  );
  return times.flatMap(([at, all]) => {
    const listed = [...series].flatMap(([name, sums]) => namedSums(name, sums, at));
    const others = listed.reduce((rest, [, sums]) => minus(rest, sums), all);
    const rows: readonly (readonly [string | null, UsageSums])[] =
      others.calls === 0 ? listed : [...listed, [null, others]];
    return rows.map(([name, sums]) => ({ group: timeName(Number(at), request.by), split: name, ...sums }));
  });
}

function namedSums(name: string, sums: Sums, at: string | number): [name: string, sums: UsageSums][] {
  const found = sums.get(at);
  return found === undefined ? [] : [[name, found]];
}

function minus(from: UsageSums, taken: UsageSums): UsageSums {
  return Object.fromEntries(SUMS.map((sum) => [sum, from[sum] - taken[sum]])) as UsageSums;
}

/** A key's tokens of the month that contains `now`. */
export function monthTotal(sql: SqlStorage, key: string, now: number): { month: string; tokens: number } {
  const month = monthStart(now);
  const [rollup] = sql
    .exec<{ tokens: number }>(
      `SELECT promptTokens + completionTokens AS tokens FROM rollups
       WHERE granularity = 'm' AND dimension = 'key' AND at = ? AND name = ?`,
      month,
      key,
    )
    .toArray();
  const recent = sql
    .exec<{ tokens: number | null }>(
      "SELECT sum(promptTokens + completionTokens) AS tokens FROM recent WHERE month = ? AND key = ?",
      month,
      key,
    )
    .one();
  return { month: monthName(now), tokens: (rollup?.tokens ?? 0) + (recent.tokens ?? 0) };
}

type Group = readonly [name: string | number, sums: UsageSums];

const earliestFirst = ([a]: Group, [b]: Group): number => Number(a) - Number(b);

function largestFirst([nameA, a]: Group, [nameB, b]: Group): number {
  const tokens = b.promptTokens + b.completionTokens - (a.promptTokens + a.completionTokens);
  if (tokens !== 0) return tokens;
  return b.calls - a.calls || (String(nameA) < String(nameB) ? -1 : 1);
}

function timeName(at: number, by: UsageGroup): string {
  return by === "day" ? dayName(at) : `${new Date(at).toISOString().slice(0, 16)}Z`;
}
