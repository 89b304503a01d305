// Schemas of `GET /admin/usage`: sums over a time range, grouped in one of five ways; days and hours can be split again.
import * as z from "zod/mini";
import { KeyId, moment } from "./keys.ts";

export const USAGE_GROUPS = ["key", "model", "agent", "day", "hour"] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

/** How days and hours can be split again, for charts. */
export const USAGE_SPLITS = ["key", "model", "agent"] as const;
export type UsageSplit = (typeof USAGE_SPLITS)[number];

/** The names that a split report lists separately; all others are one row per day or hour. A chart has as many colours. */
export const MAX_SPLIT_NAMES = 8;

/** The longest range of hours that can be split: some 7,000 rows. */
export const MAX_SPLIT_HOURS_DAYS = 31;

/** How many days hours are stored for, and days: a quarter for close inspection, 25 months for bills. */
export const HOURS_KEPT_DAYS = 90;
export const DAYS_KEPT_DAYS = 760;

export const UsageSums = z.object({
  calls: z.int(),
  /** Calls whose answer was complete; the others were aborted, broken, refused, expired or interrupted. */
  complete: z.int(),
  promptTokens: z.int(),
  /** The part of the prompt's tokens that was read from a slot's cache. */
  cachedTokens: z.int(),
  completionTokens: z.int(),
  /** Calls whose tokens are our estimate instead of the server's count, or are unknown. */
  estimatedCalls: z.int(),
});
export type UsageSums = z.infer<typeof UsageSums>;

/** Query of `GET /admin/usage`; a day means its start in UTC. */
export const UsageQuery = z
  .strictObject({
    key: z.optional(KeyId),
    from: z.optional(moment),
    to: z.optional(moment),
    by: z._default(z.enum(USAGE_GROUPS), "day"),
    /** Only with `by=day` and `by=hour`. */
    split: z.optional(z.enum(USAGE_SPLITS)),
    /** By default the `Accept` header decides. */
    format: z.optional(z.enum(["json", "csv"])),
  })
  .check(z.meta({ id: "UsageQuery" }));
export type UsageQuery = z.output<typeof UsageQuery>;

/**
 * Answer to `GET /admin/usage?key&from&to&by&split`; times are UTC, `to` is exclusive. `from` and `to` are the range that was
 * summed: whole hours, or whole days if its hours are no longer stored.
 */
export const UsageReport = z
  .object({
    from: z.iso.datetime(),
    to: z.iso.datetime(),
    by: z.enum(USAGE_GROUPS),
    /** Absent unless it was requested. */
    split: z.optional(z.enum(USAGE_SPLITS)),
    /** The requested key; null for all. */
    key: z.nullable(z.string()),
    total: UsageSums,
    /**
     * `group`: a key's id, a model, an agent type, `2026-11-23`, or `2026-11-23T14:00Z`. Largest first; days and hours in
     * order, without those that had no call. `split`: a key's id, a model or an agent type, the range's largest first;
     * null for all others together.
     */
    rows: z.array(
      z.object({ group: z.string(), split: z.optional(z.nullable(z.string())), ...UsageSums.shape }),
    ),
  })
  .check(z.meta({ id: "UsageReport" }));
export type UsageReport = z.infer<typeof UsageReport>;
