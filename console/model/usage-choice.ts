// The usage view's choices: those on offer, their form in the address, and the requests that they need.
import { DAY_MS, monthStart } from "../../shared/calendar.ts";
import { KeyId } from "../../shared/keys.ts";
import { USAGE_SPLITS, type UsageSplit } from "../../shared/usage-report.ts";

export const RANGES = {
  today: "today",
  week: "the last 7 days",
  month: "this month",
  last: "last month",
  quarter: "the last 90 days",
} as const;
export type TimeRange = keyof typeof RANGES;

export const STEPS = { hour: "Hour", day: "Day" } as const;
export type Step = keyof typeof STEPS;

export const MEASURES = { tokens: "Tokens", calls: "Calls" } as const;
export type Measure = keyof typeof MEASURES;

export interface UsageChoice {
  /** The table's rows and the chart's colours. */
  readonly by: UsageSplit;
  readonly range: TimeRange;
  readonly step: Step;
  readonly measure: Measure;
  /** One key only; empty for all. */
  readonly key: string;
}

type Query = Readonly<Record<string, string>>;

/** The choice in the address; whatever is absent or unknown there has its default. */
export function usageChoice({ by, range = "", step = "", measure = "", key = "" }: Query): UsageChoice {
  const chosenRange = isOneOf(RANGES, range) ? range : "month";
  return {
    by: USAGE_SPLITS.find((split) => split === by) ?? "model",
    range: chosenRange,
    step: isOneOf(STEPS, step) && hasHours(chosenRange) ? step : defaultStep(chosenRange),
    measure: isOneOf(MEASURES, measure) ? measure : "tokens",
    key: KeyId.safeParse(key).success ? key : "",
  };
}

/** The edge splits hours for up to a month. */
export const hasHours = (range: TimeRange): boolean => range !== "quarter";

/** A day is too short for days. */
const defaultStep = (range: TimeRange): Step => (range === "today" ? "hour" : "day");

function isOneOf<T extends string>(options: Readonly<Record<T, string>>, name: string): name is T {
  return Object.hasOwn(options, name);
}

/** The query of the chart's report; the table's has no step. Days are in UTC, as in the ledger. */
export function chartPath(choice: UsageChoice, now: number): string {
  return path({ by: choice.step, split: choice.by }, choice, now);
}

export function tablePath(choice: UsageChoice, now: number): string {
  return path({ by: choice.by }, choice, now);
}

function path(grouping: Query, { range, key }: UsageChoice, now: number): string {
  const { from, to } = timesOf(range, now);
  const query = new URLSearchParams({
    ...grouping,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    ...(key === "" ? {} : { key }),
  });
  return `/admin/usage?${query.toString()}`;
}

function timesOf(range: TimeRange, now: number): { readonly from: number; readonly to: number } {
  const today = now - (now % DAY_MS);
  const to = today + DAY_MS;
  switch (range) {
    case "today":
      return { from: today, to };
    case "week":
      return { from: today - 6 * DAY_MS, to };
    case "month":
      return { from: monthStart(now), to };
    case "last":
      return { from: monthStart(monthStart(now) - 1), to: monthStart(now) };
    case "quarter":
      return { from: today - 89 * DAY_MS, to };
  }
}
