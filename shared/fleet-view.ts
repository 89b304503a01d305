// The fleet as operators see it: `GET /admin/fleet`, its events and its history. The edge builds it from the boxes'
// latest snapshots and the fleet file; an unknown figure is null, never 0.
import * as z from "zod/mini";
import { Failure } from "./failures.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { LINK_STATES, LinkGpu } from "./wire.ts";

const figure = z.nullable(z.number());
/** Milliseconds since 1970, by the edge's clock. */
const timestamp = z.number();

/** `silent`: its agent has sent nothing for `LINK_SILENT_MS`, or ever. `draining`: it takes no new calls. */
const BOX_STATES = ["up", "draining", "silent"] as const;

export const FleetServerView = z.object({
  port: z.int(),
  pm2: z.string(),
  model: z.string(),
  agents: z.array(z.string()),
  /** `unknown`: its box is silent or didn't announce it. */
  state: z.enum([...LINK_STATES, "unknown"]),
  /** The reason for the state, as text; empty if the state needs none. */
  why: z.string(),
  /** When it entered this state; null if that isn't known. */
  since: z.nullable(timestamp),
  slots: z.int(),
  busy: z.int(),
  waiting: z.int(),
  places: z.int(),
  waitMs: figure,
  tokensPerSecond: figure,
  /** Time to the first token over the last five minutes. */
  firstTokenP50Ms: figure,
  firstTokenP95Ms: figure,
  /** GPU memory of its process, and the fleet file's plan for it. */
  gpuGib: figure,
  budgetGib: z.number(),
  restarts: figure,
});
export type FleetServerView = z.infer<typeof FleetServerView>;

export const FleetBoxView = z.object({
  name: z.string(),
  /** The card's name in the fleet file. */
  gpu: z.string(),
  vramGib: z.number(),
  state: z.enum(BOX_STATES),
  /** When an operator drained it; null if none did, absent from an older edge. */
  drainedAt: z.optional(z.nullable(timestamp)),
  /** Time of the last frame or ping; null if there was none. */
  lastSeenAt: z.nullable(timestamp),
  version: z.nullable(z.string()),
  /** Linked agent processes: two during a reload. */
  agents: z.int(),
  /** How it differs from the edge (another fleet file, a wrong clock); null if it doesn't. */
  warning: z.nullable(z.string()),
  /** SHA-256 of `fleetText` of its agent's fleet file; null if no agent reports, absent from an older edge. */
  fleetHash: z.optional(z.nullable(z.string())),
  /** Some of its servers or its cards are simulated, and so are the figures here; absent from an older edge. */
  simulated: z.optional(z.boolean()),
  gpus: z.nullable(z.array(LinkGpu)),
  servers: z.array(FleetServerView),
  /** Age of the oldest usage record that isn't in the ledger yet. */
  usageBehindMs: figure,
});
export type FleetBoxView = z.infer<typeof FleetBoxView>;

/** Something that happened: "8085 (BiMediX2-8B) on box1 was restarted by PM2, back after 6.1 s". */
export const FleetEvent = z.object({
  /** Identifies the event and grows. */
  id: z.int(),
  at: timestamp,
  box: z.nullable(z.string()),
  port: z.nullable(z.int()),
  level: z.enum(["info", "warn", "bad", "good"]),
  text: z.string(),
});
export type FleetEvent = z.infer<typeof FleetEvent>;

/** A condition that pages an operator and holds now. */
export const FleetAlarm = z.object({
  /** For example `box-silent:north`. */
  id: z.string(),
  since: timestamp,
  text: z.string(),
  /** The runbook's line for it. */
  advice: z.string(),
});
export type FleetAlarm = z.infer<typeof FleetAlarm>;

/** Failures of one code by one key, within the last hour. */
export const FailureGroup = z.object({
  code: z.string(),
  /** Null if the key isn't known, and for all keys beyond those that are counted one by one. */
  key: z.nullable(z.string()),
  count: z.int(),
  lastAt: timestamp,
});
export type FailureGroup = z.infer<typeof FailureGroup>;

export const AgentTraffic = z.object({
  agent: z.string(),
  calls: z.int(),
  /** Calls that failed: those with a code whose fault is `caller`, and all others. */
  ours: z.int(),
  callers: z.int(),
  /** From the call's arrival at its box to its end, of answered calls; of the slowest box, if there are several. */
  p50Ms: figure,
  p95Ms: figure,
  /** Time to the first token, of streams. */
  firstP50Ms: figure,
  firstP95Ms: figure,
});
export type AgentTraffic = z.infer<typeof AgentTraffic>;

export const TrafficWindow = z.object({
  windowS: z.number(),
  /** Shorter than the window if the agents run for less. */
  coveredS: z.number(),
  /** The busiest first. Null if no agent reports. */
  byAgent: z.nullable(z.array(AgentTraffic)),
  /** Refusals and failures by error code, at the edge and on the boxes. */
  byCode: z.array(z.object({ code: z.string(), count: z.int() })),
});
export type TrafficWindow = z.infer<typeof TrafficWindow>;

/** The calls of the last minutes, as counted by the boxes. */
export const FleetTraffic = z.object({
  /** Length of the counted time, in seconds. */
  windowS: z.number(),
  byAgent: z.array(z.object({ agent: z.string(), calls: z.int(), tokens: z.int() })),
  /** Refusals and failures by error code, at the edge and on the boxes. */
  byCode: z.array(z.object({ code: z.string(), count: z.int() })),
  fallbacks: z.int(),
  recoveries: z.int(),
  /** Five minutes and an hour; absent from an older edge. */
  windows: z.optional(z.array(TrafficWindow)),
});
export type FleetTraffic = z.infer<typeof FleetTraffic>;

/** Answer to `GET /admin/fleet`, and the data of each `fleet` event of `GET /admin/fleet/events`. */
export const FleetView = z
  .object({
    at: timestamp,
    /** The hash of the edge's own fleet file, in the same form. */
    fleetHash: z.optional(z.string()),
    boxes: z.array(FleetBoxView),
    traffic: FleetTraffic,
    /** Newest first: the newest 50, and the newest 50 of ours. */
    failures: z.array(Failure),
    /** The most frequent of the last hour, up to 100; absent from an older edge. */
    failureGroups: z.optional(z.array(FailureGroup)),
    /** Newest first, up to 100. */
    events: z.array(FleetEvent),
    alarms: z.array(FleetAlarm),
  })
  .check(z.meta({ id: "Fleet" }));
export type FleetView = z.infer<typeof FleetView>;

/** Query of `GET /admin/fleet/history`. */
export const HistoryQuery = z.strictObject({
  box: z.string().check(z.minLength(1), z.maxLength(MAX_NAME_LENGTH)),
  minutes: z._default(z.coerce.number().check(z.int(), z.gte(1), z.lte(1440)), 15),
});

/** Answer to `GET /admin/fleet/history?box&minutes`: columns of equal length, oldest first. */
export const FleetHistory = z
  .object({
    box: z.string(),
    stepS: z.number(),
    at: z.array(timestamp),
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
  .check(z.meta({ id: "FleetHistory" }));
export type FleetHistory = z.infer<typeof FleetHistory>;

/** A reading as the wire has it. */
type GpuReading = Omit<LinkGpu, "name">;

/**
 * A box's cards as one reading: a server's memory is the sum over all cards, so it must be compared with the sum.
 * Ignores cards without a figure; null if no card has it.
 *
 * @param gpus null if the box has no driver that answers
 */
export function allCards(gpus: readonly LinkGpu[] | null): GpuReading {
  const known = (figure: keyof GpuReading): number[] => (gpus ?? []).flatMap((card) => card[figure] ?? []);
  const utilization = known("utilizationPercent");
  const temperatures = known("temperatureC");
  return {
    memoryUsedGib: sum(known("memoryUsedGib")),
    memoryTotalGib: sum(known("memoryTotalGib")),
    utilizationPercent: utilization.length === 0 ? null : (sum(utilization) ?? 0) / utilization.length,
    // The hottest card matters.
    temperatureC: temperatures.length === 0 ? null : Math.max(...temperatures),
    powerWatts: sum(known("powerWatts")),
  };
}

function sum(figures: readonly number[]): number | null {
  return figures.length === 0 ? null : figures.reduce((total, figure) => total + figure, 0);
}
