// What `/admin/usage` is answered from the ledger's rows: the sums of a stretch of time, grouped one of five ways.
import type { UsageGroup, UsageQuery, UsageReport, UsageSums } from "../../shared/usage-report.ts";
import type { Dimension } from "./ledger-tables.ts";
import { NOTHING, plus } from "./booking.ts";
import { cover, DAY_MS, monthName, monthOf, widened, type TimeRange } from "./time-ranges.ts";

interface Row extends Record<string, SqlStorageValue> {
  group: string | number;
  calls: number;
  complete: number;
  prompt: number;
  cached: number;
  completion: number;
  estimated: number;
}

const ADDED = ["calls", "complete", "prompt", "cached", "completion", "estimated"]
  .map((sum) => `sum(${sum}) AS ${sum}`)
  .join(", ");

export function usageReport(sql: SqlStorage, query: UsageQuery, now: number): UsageReport {
  const { by, key } = query;
  const { from, to } = widened(query.from, query.to, now);
  const found = [
    ...cover(from, to, largestGranularity(by, key)).flatMap((stretch) =>
      key === null ? fromRolls(sql, by, stretch) : fromFacts(sql, by, stretch, key),
    ),
    ...fromFresh(sql, by, from, to, key),
  ];
  const groups = new Map<string | number, UsageSums>();
  for (const row of found) groups.set(row.group, plus(groups.get(row.group) ?? NOTHING, sumsOf(row)));
  const isTime = by === "day" || by === "hour";
  const order = isTime ? earliestFirst : largestFirst;
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    by,
    key,
    total: [...groups.values()].reduce(plus, NOTHING),
    rows: [...groups]
      .toSorted(order)
      .map(([group, sums]) => ({ group: isTime ? timeName(Number(group), by) : String(group), ...sums })),
  };
}

/** A key's tokens of the month that `now` lies in. */
export function monthTotal(sql: SqlStorage, key: string, now: number): { month: string; tokens: number } {
  const month = monthOf(now);
  const [folded] = sql
    .exec<{ tokens: number }>(
      "SELECT prompt + completion AS tokens FROM rolls WHERE span = 'm' AND dimension = 'key' AND at = ? AND name = ?",
      month,
      key,
    )
    .toArray();
  const fresh = sql
    .exec<{ tokens: number | null }>(
      "SELECT sum(prompt + completion) AS tokens FROM fresh WHERE month = ? AND key = ?",
      month,
      key,
    )
    .one();
  return { month: monthName(now), tokens: (folded?.tokens ?? 0) + (fresh.tokens ?? 0) };
}

/** What one key used lies by hours and days; over all keys there are months too. */
function largestGranularity(by: UsageGroup, key: string | null): TimeRange["span"] {
  if (by === "hour") return "h";
  return by === "day" || key !== null ? "d" : "m";
}

function fromRolls(sql: SqlStorage, by: UsageGroup, { span, from, to }: TimeRange): Row[] {
  const dimension: Dimension = by === "day" || by === "hour" ? "all" : by;
  const group = by === "hour" ? "at" : by === "day" ? `at - at % ${DAY_MS}` : "name";
  return sql
    .exec<Row>(
      `SELECT ${group} AS "group", ${ADDED} FROM rolls
       WHERE span = ? AND dimension = ? AND at >= ? AND at < ? GROUP BY 1`,
      span,
      dimension,
      from,
      to,
    )
    .toArray();
}

function fromFacts(sql: SqlStorage, by: UsageGroup, { span, from, to }: TimeRange, key: string): Row[] {
  return sql
    .exec<Row>(
      `SELECT ${groupOf(by, "at")} AS "group", ${ADDED} FROM facts
       WHERE span = ? AND key = ? AND at >= ? AND at < ? GROUP BY 1`,
      span,
      key,
      from,
      to,
    )
    .toArray();
}

function fromFresh(sql: SqlStorage, by: UsageGroup, from: number, to: number, key: string | null): Row[] {
  return sql
    .exec<Row>(
      `SELECT ${groupOf(by, "hour")} AS "group", ${ADDED} FROM fresh
       WHERE hour >= ? AND hour < ? AND (?3 IS NULL OR key = ?3) GROUP BY 1`,
      from,
      to,
      key,
    )
    .toArray();
}

function groupOf(by: UsageGroup, at: "at" | "hour"): string {
  if (by === "hour") return at;
  return by === "day" ? `${at} - ${at} % ${DAY_MS}` : by;
}

function sumsOf(row: Row): UsageSums {
  return {
    calls: row.calls,
    complete: row.complete,
    promptTokens: row.prompt,
    cachedTokens: row.cached,
    completionTokens: row.completion,
    estimatedCalls: row.estimated,
  };
}

type Group = readonly [name: string | number, sums: UsageSums];

const earliestFirst = ([a]: Group, [b]: Group): number => Number(a) - Number(b);

function largestFirst([nameA, a]: Group, [nameB, b]: Group): number {
  const tokens = b.promptTokens + b.completionTokens - (a.promptTokens + a.completionTokens);
  if (tokens !== 0) return tokens;
  return b.calls - a.calls || (String(nameA) < String(nameB) ? -1 : 1);
}

function timeName(at: number, by: UsageGroup): string {
  const text = new Date(at).toISOString();
  return by === "day" ? text.slice(0, 10) : `${text.slice(0, 16)}Z`;
}
