// Builds the answer to `/admin/usage` from the ledger's rows: the sums of a time range, grouped in one of five ways.
import { DAY_MS, dayName, monthName, monthStart } from "../../shared/calendar.ts";
import type { UsageGroup, UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { SUMS, type Dimension } from "./ledger-tables.ts";
import { NOTHING, plus } from "./booking.ts";
import { cover, widened, type Granularity, type TimeRange } from "./time-ranges.ts";

/** A range in milliseconds since 1970, `to` exclusive, and how its sums are grouped. */
export interface UsageRequest {
  readonly from: number;
  readonly to: number;
  readonly by: UsageGroup;
  /** One key only; null for all. */
  readonly key: string | null;
}

type Row = UsageSums & { readonly group: string | number } & Record<string, SqlStorageValue>;

const ADDED = SUMS.map((sum) => `sum(${sum}) AS ${sum}`).join(", ");

export function usageReport(sql: SqlStorage, request: UsageRequest, now: number): UsageReport {
  const { by, key } = request;
  const { from, to } = widened(request.from, request.to, now);
  const found = [
    ...cover(from, to, largestGranularity(by, key)).flatMap((range) =>
      key === null ? fromRollups(sql, by, range) : fromUsage(sql, by, range, key),
    ),
    ...fromRecent(sql, by, from, to, key),
  ];
  const groups = new Map<string | number, UsageSums>();
  for (const row of found) groups.set(row.group, plus(groups.get(row.group) ?? NOTHING, row));
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

/** One key's usage is stored by hour and day; the rollups over all keys have months too. */
function largestGranularity(by: UsageGroup, key: string | null): Granularity {
  if (by === "hour") return "h";
  return by === "day" || key !== null ? "d" : "m";
}

function fromRollups(sql: SqlStorage, by: UsageGroup, { granularity, from, to }: TimeRange): Row[] {
  const dimension: Dimension = by === "day" || by === "hour" ? "all" : by;
  const group = by === "hour" ? "at" : by === "day" ? `at - at % ${DAY_MS}` : "name";
  return sql
    .exec<Row>(
      `SELECT ${group} AS "group", ${ADDED} FROM rollups
       WHERE granularity = ? AND dimension = ? AND at >= ? AND at < ? GROUP BY 1`,
      granularity,
      dimension,
      from,
      to,
    )
    .toArray();
}

function fromUsage(
  sql: SqlStorage,
  by: UsageGroup,
  { granularity, from, to }: TimeRange,
  key: string,
): Row[] {
  return sql
    .exec<Row>(
      `SELECT ${groupOf(by, "at")} AS "group", ${ADDED} FROM usage
       WHERE granularity = ? AND key = ? AND at >= ? AND at < ? GROUP BY 1`,
      granularity,
      key,
      from,
      to,
    )
    .toArray();
}

function fromRecent(sql: SqlStorage, by: UsageGroup, from: number, to: number, key: string | null): Row[] {
  return sql
    .exec<Row>(
      `SELECT ${groupOf(by, "hour")} AS "group", ${ADDED} FROM recent
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
