// The fleet as operators see it: `GET /admin/fleet`, its events, its history. Made by the edge from what the boxes
// last said and from the fleet file; a figure nobody could tell is null, never 0.
import * as z from "zod";
import type { BoxReport } from "./box-report.ts";
import { Failure } from "./failures.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { LINK_STATES, LinkGpu } from "./wire.ts";

const figure = z.number().nullable();
/** Milliseconds since 1970, by the edge's clock. */
const moment = z.number();

/** `silent`: nothing was heard for `LINK_SILENT_MS`, or ever. `draining`: it takes no further calls. */
export const BOX_STATES = ["up", "draining", "silent"] as const;

export const FleetServerView = z.object({
  port: z.int(),
  pm2: z.string(),
  model: z.string(),
  agents: z.array(z.string()),
  /** `unknown`: its box is silent, or didn't announce it. */
  state: z.enum([...LINK_STATES, "unknown"]),
  /** Why, in words; empty where the state says all. */
  why: z.string(),
  /** Since when it is in this state; null before the first change was seen. */
  since: moment.nullable(),
  slots: z.int(),
  busy: z.int(),
  waiting: z.int(),
  places: z.int(),
  waitMs: figure,
  tokensPerSecond: figure,
  /** Time to the first token over the last minutes, milliseconds. */
  firstTokenP50Ms: figure,
  firstTokenP95Ms: figure,
  /** GPU memory its process holds, and what the fleet file plans for it. */
  gpuGib: figure,
  budgetGib: z.number(),
  restarts: figure,
});
export type FleetServerView = z.infer<typeof FleetServerView>;

export const FleetBoxView = z.object({
  name: z.string(),
  /** The card, by the fleet file. */
  gpu: z.string(),
  vramGib: z.number(),
  state: z.enum(BOX_STATES),
  /** When it last said anything; null for never. */
  lastSeenAt: moment.nullable(),
  version: z.string().nullable(),
  /** Agent processes that are linked: two during a reload. */
  agents: z.int(),
  /** What it differs in from the edge: another fleet file, a clock far off; null for nothing. */
  warning: z.string().nullable(),
  gpus: z.array(LinkGpu).nullable(),
  servers: z.array(FleetServerView),
  /** Of usage records not in the ledger yet, the oldest one's age, milliseconds. */
  usageBehindMs: figure,
});
export type FleetBoxView = z.infer<typeof FleetBoxView>;

/** What happened, in words: "8085 restarted by PM2, back after 6.1 s". */
export const FleetEvent = z.object({
  /** Grows; names the event. */
  id: z.int(),
  at: moment,
  box: z.string().nullable(),
  port: z.int().nullable(),
  level: z.enum(["info", "warn", "bad", "good"]),
  text: z.string(),
});
export type FleetEvent = z.infer<typeof FleetEvent>;

/** Something that should wake somebody, and holds now. */
export const FleetAlarm = z.object({
  /** Names it: `box-silent:north`. */
  id: z.string(),
  since: moment,
  text: z.string(),
  /** The runbook's line: what to do. */
  advice: z.string(),
});
export type FleetAlarm = z.infer<typeof FleetAlarm>;

/** One minute's or five minutes' calls, as the boxes counted them. */
export const FleetTraffic = z.object({
  /** Over how long, seconds. */
  windowS: z.number(),
  byAgent: z.array(z.object({ agent: z.string(), calls: z.int(), tokens: z.int() })),
  /** Refusals and failures by the error table's codes, at edge and boxes. */
  byCode: z.array(z.object({ code: z.string(), count: z.int() })),
  fallbacks: z.int(),
  recoveries: z.int(),
});
export type FleetTraffic = z.infer<typeof FleetTraffic>;

/** Answer to `GET /admin/fleet`, and the data of each `fleet` event of `GET /admin/fleet/events`. */
export const FleetView = z
  .object({
    at: moment,
    boxes: z.array(FleetBoxView),
    traffic: FleetTraffic,
    /** The newest first, at most 50. */
    failures: z.array(Failure),
    /** The newest first, at most 100. */
    events: z.array(FleetEvent),
    alarms: z.array(FleetAlarm),
  })
  .meta({ id: "Fleet" });
export type FleetView = z.infer<typeof FleetView>;

/** Query of `GET /admin/fleet/history`. */
export const HistoryQuery = z.strictObject({
  box: z.string().min(1).max(MAX_NAME_LENGTH),
  minutes: z.coerce.number().int().min(1).max(1440).default(15),
});

/** Answer to `GET /admin/fleet/history?box&minutes`: columns of equal length, oldest first. */
export const FleetHistory = z
  .object({
    box: z.string(),
    stepS: z.number(),
    at: z.array(moment),
    /** All cards together. */
    memoryUsedGib: z.array(figure),
    utilizationPercent: z.array(figure),
    temperatureC: z.array(figure),
    powerWatts: z.array(figure),
    /** All servers together. */
    tokensPerSecond: z.array(figure),
    busy: z.array(figure),
    waiting: z.array(figure),
    /** By port. */
    serverGib: z.record(z.string(), z.array(figure)),
  })
  .meta({ id: "FleetHistory" });
export type FleetHistory = z.infer<typeof FleetHistory>;

/** What the fleet object tells of which the view is made. */
export interface FleetState {
  readonly reports: readonly BoxReport[];
  /** Since when each server is as it is, milliseconds since 1970, by box and port. */
  readonly since: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly events: readonly FleetEvent[];
  readonly alarms: readonly FleetAlarm[];
  readonly failures: readonly Failure[];
  /** Refusals and failures of the last five minutes, at the edge. */
  readonly byCode: readonly { readonly code: string; readonly count: number }[];
}
