// Usage as the admin API tells it: sums over a stretch of time, by one of five ways to group them.
import * as z from "zod";
import { KeyId, moment } from "./keys.ts";

export const USAGE_GROUPS = ["key", "model", "agent", "day", "hour"] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

/** How long hours are kept, and days, in days: a quarter for looking closely, two years and a month for bills. */
export const HOURS_KEPT_DAYS = 90;
export const DAYS_KEPT_DAYS = 760;

export const UsageSums = z.object({
  calls: z.int(),
  /** Calls that ended whole; the others were aborted, broken, refused, expired or interrupted. */
  complete: z.int(),
  promptTokens: z.int(),
  /** Of the prompt's tokens, those read from a slot's cache. */
  cachedTokens: z.int(),
  completionTokens: z.int(),
  /** Calls whose tokens are our estimate rather than the server's own count, or that nobody could count. */
  estimatedCalls: z.int(),
});
export type UsageSums = z.infer<typeof UsageSums>;

/** Query of `GET /admin/usage`; a day stands for its beginning in UTC. */
export const UsageQuestion = z
  .strictObject({
    key: KeyId.optional(),
    from: moment.optional(),
    to: moment.optional(),
    by: z.enum(USAGE_GROUPS).default("day"),
    /** Otherwise as the `Accept` header says. */
    format: z.enum(["json", "csv"]).optional(),
  })
  .meta({ id: "UsageQuestion" });
export type UsageQuestion = z.output<typeof UsageQuestion>;

/** A stretch of time, milliseconds since 1970, `to` exclusive, and how its sums are grouped. */
export interface UsageQuery {
  readonly from: number;
  readonly to: number;
  readonly by: UsageGroup;
  /** One key's alone; null for all. */
  readonly key: string | null;
}

/**
 * Answer to `GET /admin/usage?key&from&to&by`; times are UTC, `to` is exclusive. `from` and `to` are the stretch that
 * was added up: whole hours, and whole days where hours aren't kept any more.
 */
export const UsageReport = z
  .object({
    from: z.iso.datetime(),
    to: z.iso.datetime(),
    by: z.enum(USAGE_GROUPS),
    /** The key it was asked for; null is all. */
    key: z.string().nullable(),
    total: UsageSums,
    /** `group`: a key's id, a model, an agent type, `2026-11-23`, or `2026-11-23T14:00Z`. Largest first; days and hours in order. */
    rows: z.array(z.object({ group: z.string(), ...UsageSums.shape })),
  })
  .meta({ id: "UsageReport" });
export type UsageReport = z.infer<typeof UsageReport>;
