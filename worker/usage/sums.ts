// Reads sums from the ledger's rows: those of a time range, grouped one way, and those of each day or hour for some
// names of a second group.
import { DAY_MS } from "../../shared/calendar.ts";
import type { UsageGroup, UsageSplit, UsageSums } from "../../shared/usage-report.ts";
import { NOTHING, plus } from "./booking.ts";
import { SUMS, type Dimension } from "./ledger-tables.ts";
import { cover, type Granularity, type TimeRange } from "./time-ranges.ts";

/** A range in milliseconds since 1970, `to` exclusive. */
export interface SumsRequest {
  readonly from: number;
  readonly to: number;
  readonly by: UsageGroup;
  /** One key only; null for all. */
  readonly key: string | null;
}

/** Sums by group: a name, or the start of a day or an hour. */
export type Sums = Map<string | number, UsageSums>;

type Row = UsageSums & { readonly group: string | number } & Record<string, SqlStorageValue>;
type SplitRow = Row & { readonly split: string };

const ADDED = SUMS.map((sum) => `sum(${sum}) AS ${sum}`).join(", ");

export function sumsBy(sql: SqlStorage, request: SumsRequest): Sums {
  const { by, key, from, to } = request;
  const rows = [
    ...cover(from, to, largestGranularity(by, key)).flatMap((range) =>
      key === null ? fromRollups(sql, by, range) : fromUsage(sql, by, range, key),
    ),
    ...fromRecent(sql, request),
  ];
  return added(rows);
}

/** The sums of each name, by day or by hour. */
export function sumsOfNames(
  sql: SqlStorage,
  request: SumsRequest,
  split: UsageSplit,
  names: readonly string[],
): Map<string, Sums> {
  // A key's rows are stored together; those of a model or an agent type are found by time.
  if (split === "key") return new Map(names.map((key) => [key, sumsBy(sql, { ...request, key })]));
  const found = splitRows(sql, request, split, names);
  const grouped = Map.groupBy(found, (row) => row.split);
  return new Map(names.map((name) => [name, added(grouped.get(name) ?? [])]));
}

function added(rows: readonly Row[]): Sums {
  const groups: Sums = new Map();
  for (const row of rows) groups.set(row.group, plus(groups.get(row.group) ?? NOTHING, row));
  return groups;
}

/** One key's usage is stored by hour and day; the rollups over all keys have months too. */
function largestGranularity(by: UsageGroup, key: string | null): Granularity {
  if (by === "hour") return "h";
  return by === "day" || key !== null ? "d" : "m";
}

function fromRollups(sql: SqlStorage, by: UsageGroup, { granularity, from, to }: TimeRange): Row[] {
  const isTime = by === "day" || by === "hour";
  const dimension: Dimension = isTime ? "all" : by;
  return sql
    .exec<Row>(
      `SELECT ${isTime ? groupOf(by, "at") : "name"} AS "group", ${ADDED} FROM rollups
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

function fromRecent(sql: SqlStorage, { by, from, to, key }: SumsRequest): Row[] {
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

function splitRows(
  sql: SqlStorage,
  { by, from, to, key }: SumsRequest,
  split: Exclude<UsageSplit, "key">,
  names: readonly string[],
): SplitRow[] {
  const listed = JSON.stringify(names);
  const read = (at: "at" | "hour", name: string, rows: string, ...bound: (string | number)[]): SplitRow[] =>
    sql
      .exec<SplitRow>(
        `SELECT ${groupOf(by, at)} AS "group", ${name} AS split, ${ADDED} FROM ${rows}
         AND ${name} IN (SELECT value FROM json_each(?)) GROUP BY 1, 2`,
        ...bound,
        listed,
      )
      .toArray();
  const older = cover(from, to, largestGranularity(by, key)).flatMap((range) => {
    const bound = [range.granularity, key ?? split, range.from, range.to] as const;
    return key === null
      ? read("at", "name", "rollups WHERE granularity = ? AND dimension = ? AND at >= ? AND at < ?", ...bound)
      : read("at", split, "usage WHERE granularity = ? AND key = ? AND at >= ? AND at < ?", ...bound);
  });
  const recent = "recent WHERE hour >= ? AND hour < ?";
  return [
    ...older,
    ...(key === null
      ? read("hour", split, recent, from, to)
      : read("hour", split, `${recent} AND key = ?`, from, to, key)),
  ];
}

function groupOf(by: UsageGroup, at: "at" | "hour"): string {
  if (by === "hour") return at;
  return by === "day" ? `${at} - ${at} % ${DAY_MS}` : by;
}
