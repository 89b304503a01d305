// The frames that an agent and the edge exchange over `/_agent/link`: versioned JSON, checked on both sides. The agent
// dials. An unknown figure is null, never 0; no frame has a field that could contain a prompt.
import * as z from "zod/mini";
import type { FleetConfig } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { recordName, UsageCall } from "./usage.ts";
import { adjacentTo } from "./versions.ts";

/**
 * Raised when a field changes its meaning; new optional fields and new types of frames don't raise it. Both sides accept
 * the adjacent versions, so that agents and edge can be deployed one after the other, and back. An agent of any other
 * version gets a warning and a close frame.
 */
export const WIRE_VERSION = 1;

/** The path that agents dial. They identify themselves by the box's name and its token (`agent-to-edge`). */
export const LINK_PATH = "/_agent/link";
export const LINK_BOX_HEADER = "x-isha-box";
/** Inside the edge only: the hash of its own fleet file, passed to the fleet object with an agent's upgrade. */
export const LINK_FLEET_HEADER = "x-isha-fleet-hash";
/** And the names of its boxes, separated by commas: a box that never dials must raise an alarm too. */
export const LINK_BOXES_HEADER = "x-isha-fleet-boxes";
/** And the ports of each of those boxes, as JSON. */
export const LINK_PORTS_HEADER = "x-isha-fleet-ports";
/** And PM2's names of their servers, by box and port, as JSON: alarms name the command to run. */
export const LINK_PROCESSES_HEADER = "x-isha-fleet-processes";

/** Largest frame that either side accepts, in bytes. The largest in use is a batch of calls, about 60 KB. */
export const MAX_FRAME_BYTES = 256 * 1024;

/** Longest text about a fault of an agent's fleet file. */
export const MAX_FLEET_FAULT = 300;

/** Maximum number of calls in one `usage` frame. */
export const MAX_BATCH_CALLS = 200;

/** The agent sends a ping to check the connection; the platform answers it without waking the object. */
export const PING = "ping";
export const PONG = "pong";

/**
 * Why the edge closes a link, as the close frame's code (4000 to 4999 are reserved for applications); a reason text
 * goes with it. After `replaced` a newer socket of the same process is in use, so there is nothing to fix. The other
 * causes recur until an operator fixes them, so the agent dials again after its longest pause.
 */
export const LINK_CLOSE = {
  /** Not a frame of this protocol: binary, too large, not JSON, unknown, or before `hello`. */
  protocol: 4000,
  /** The peer has another `WIRE_VERSION`. */
  version: 4001,
  /** `hello` names another box than the token. */
  box: 4002,
  replaced: 4003,
  /** One box has more sockets than reloads and half-open ones explain; the one last seen longest ago is closed. */
  tooMany: 4004,
} as const;

/** Beyond this difference a box's clock causes a warning, and its calls are booked at their arrival: five minutes. */
export const CLOCK_OFF_MS = 5 * 60 * 1000;

/**
 * The text whose SHA-256 both sides compare as the fleet file's hash: the file as `defineFleet` returns it, so that
 * formatting and comments don't matter.
 */
export const fleetText = (fleet: FleetConfig): string => JSON.stringify(fleet);

/** A server's state: `slow` still takes calls, `stalled` decodes nothing. A box drains; a server doesn't. */
export const LINK_STATES = ["down", "loading", "ready", "slow", "stalled"] as const;
export type LinkState = (typeof LINK_STATES)[number];

const text = (max: number) => z.string().check(z.maxLength(max));
const figure = z.nullable(z.number().check(z.gte(0), z.lte(1e12)));
const count = z.int().check(z.gte(0), z.lte(1e9));
/** A time, or a call's seq: larger than any count. */
const largeInt = z.int().check(z.gte(0), z.lte(1e15));
const port = z.int().check(z.gte(1), z.lte(65_535));
const epoch = recordName;

/** An operator's drain (or its end, a resume), and when it was ordered by the edge's clock. The newest one holds. */
export const Drain = z.object({ drained: z.boolean(), at: largeInt });
export type Drain = z.infer<typeof Drain>;

const Hello = z.object({
  t: z.literal("hello"),
  v: adjacentTo(WIRE_VERSION),
  box: recordName,
  /** Identifies one process of the agent; during a reload two are running. */
  epoch,
  /** The program's version. */
  version: text(64),
  /** SHA-256 of `fleetText` of the fleet that the agent runs, hexadecimal. */
  fleetHash: text(64),
  /** Why it runs its last valid fleet instead of its file's; null or absent if it runs the file's. */
  fleetFault: z.optional(z.nullable(text(MAX_FLEET_FAULT))),
  /** The box's wall clock, in milliseconds since 1970. Only used to report how far off it is. */
  now: largeInt,
  servers: z.array(z.object({ port, model: recordName })).check(z.maxLength(64)),
  /** The newest one that reached the box; null if none did. */
  drain: z.nullable(Drain),
});

export const LinkServer = z.object({
  port,
  state: z.enum(LINK_STATES),
  /** The reason for the state, as text for operators; empty if the state needs none. */
  why: text(200),
  slots: count,
  /** Slots that serve a call or aren't proved free yet. */
  busy: count,
  /** Calls that are queued for it, and the size of the queue. */
  waiting: count,
  places: count,
  /** Estimated queue time of a call that arrives now; null if unknown. */
  waitMs: figure,
  /** Over the last ten seconds, all slots together. */
  tokensPerSecond: figure,
  /** Time to the first token over the last five minutes. */
  firstTokenP50Ms: figure,
  firstTokenP95Ms: figure,
  /** Streams that it continued after their earlier try had ended, since the agent's start. */
  continued: count,
  /** GPU memory of its process. */
  gpuGib: figure,
  /** Restarts, as counted by PM2. */
  restarts: z.nullable(count),
});

export const LinkGpu = z.object({
  name: z.nullable(text(MAX_NAME_LENGTH)),
  memoryUsedGib: figure,
  memoryTotalGib: figure,
  utilizationPercent: figure,
  temperatureC: figure,
  powerWatts: figure,
});
export type LinkGpu = z.infer<typeof LinkGpu>;

const counts = z.array(count).check(z.maxLength(64));
const figures = z.array(figure).check(z.maxLength(64));

/** The calls that ended within a window, in columns by agent type. */
const TrafficWindow = z.object({
  windowS: count,
  /** Shorter than the window if the agent runs for less. */
  coveredS: count,
  agents: z.array(recordName).check(z.maxLength(64)),
  calls: counts,
  /** Calls that failed: those with a code whose fault is `caller`, and all others. */
  ours: counts,
  callers: counts,
  /** From the call's arrival at the box to its end, of answered calls. */
  p50Ms: figures,
  p95Ms: figures,
  /** Time to the first token, of streams. */
  firstP50Ms: figures,
  firstP95Ms: figures,
});
export type TrafficWindow = z.infer<typeof TrafficWindow>;

/** The calls that ended recently. */
const Traffic = z.object({
  /** Length of the counted time, in seconds. */
  windowS: count,
  /**
   * The agent types of the fleet file; any other is `other`. In columns, because rows that name their fields would be
   * a third of the frame.
   */
  byAgent: z.object({
    agents: z.array(recordName).check(z.maxLength(256)),
    calls: z.array(count).check(z.maxLength(256)),
    tokens: z.array(count).check(z.maxLength(256)),
  }),
  calls: count,
  /** Calls that failed with a code whose fault is `ours`. */
  failed: count,
  /** Calls answered by a server other than the requested one. */
  fallbacks: count,
  /** Replays and continuations. */
  recoveries: count,
  /** Absent from an agent of an earlier release. */
  windows: z.optional(z.array(TrafficWindow).check(z.maxLength(8))),
});

const Snapshot = z.object({
  t: z.literal("snapshot"),
  /** Grows within an epoch. */
  seq: count,
  /** Some of its servers or its cards are simulated, as under `npm start`; absent if none is, and from an older agent. */
  simulated: z.optional(z.boolean()),
  /** The agent is shutting down, or an operator drained the box: it takes no new calls. */
  draining: z.boolean(),
  servers: z.array(LinkServer).check(z.maxLength(64)),
  /** Null if no GPU driver answers on the box. */
  gpus: z.nullable(z.array(LinkGpu).check(z.maxLength(64))),
  traffic: Traffic,
  journal: z.object({
    /** `full` and `failing`: calls are served but may not be booked. */
    state: z.enum(["ok", "full", "failing"]),
    /** Age of the oldest record that isn't acknowledged; null if all are. */
    behindMs: figure,
  }),
});

const Usage = z.object({
  t: z.literal("usage"),
  /** The epoch of these calls: the sender's own, or one that it adopted. */
  epoch,
  /**
   * The last seq that the edge acknowledged to the sender, 0 before the first. The calls have higher, ascending seqs. If
   * it is above the ledger's own last seq (only after the ledger was restored to an earlier state), nothing is booked
   * and `ack` names that seq; the sender continues from there with the calls it still has.
   */
  ackedSeq: largeInt,
  calls: z.array(UsageCall).check(z.minLength(1), z.maxLength(MAX_BATCH_CALLS)),
});

/** Maximum number of failures in one frame; if a second has more, only the traffic counts include them. */
export const MAX_FAILED_CALLS = 50;

/** Calls that failed after their answer had started: the edge passes streams on unread, so it can't know of them. */
const Failed = z.object({
  t: z.literal("failed"),
  calls: z
    .array(
      z.object({
        requestId: recordName,
        keyId: recordName,
        code: recordName,
        route: text(64),
        port: z.nullable(port),
        /** The one that the edge decided; absent from an older agent. */
        agentType: z.optional(recordName),
        /** Time since the call ended. */
        agoMs: count,
      }),
    )
    .check(z.minLength(1), z.maxLength(MAX_FAILED_CALLS)),
});

/**
 * How an operator's restart of a server ended:
 * - `ready`: PM2 restarted it, and it answers `/health` with 200.
 * - `not-ready`: PM2 restarted it, but it wasn't ready within the agent's time limit.
 * - `no-pm2`: PM2 doesn't answer. `unknown-name`: PM2 has no process of its name. `failed`: PM2 couldn't restart it.
 * - `unknown-port`: the agent's fleet file has no such server.
 * - `too-soon`: it is being restarted, or was restarted a few seconds ago.
 */
export const RESTART_OUTCOMES = [
  "ready",
  "not-ready",
  "no-pm2",
  "unknown-name",
  "failed",
  "unknown-port",
  "too-soon",
] as const;
export type RestartOutcome = (typeof RESTART_OUTCOMES)[number];

/** The end of a restart that the edge ordered. An edge of an earlier release ignores it. */
const Restarted = z.object({
  t: z.literal("restarted"),
  /** The command's id. */
  id: recordName,
  port,
  outcome: z.enum(RESTART_OUTCOMES),
  /** Time from the command to the outcome. */
  tookMs: count,
});

const Bye = z.object({ t: z.literal("bye") });

/** The frames that an agent sends. */
export const AgentFrame = z.discriminatedUnion("t", [Hello, Snapshot, Usage, Failed, Restarted, Bye]);
export type AgentFrame = z.infer<typeof AgentFrame>;
export type Hello = z.infer<typeof Hello>;
export type Snapshot = z.infer<typeof Snapshot>;
export type FailedCall = z.infer<typeof Failed>["calls"][number];
export type UsageFrame = z.infer<typeof Usage>;
export type RestartedFrame = z.infer<typeof Restarted>;

/** The frames that the edge sends. */
export const EdgeFrame = z.discriminatedUnion("t", [
  /** Every call of the epoch up to this seq is in the ledger. Lower than before if the ledger was restored. */
  z.object({ t: z.literal("ack"), epoch, lastSeq: largeInt }),
  /** The agent takes no new calls until `resume`; running calls finish. `at`: see `Drain`. */
  z.object({ t: z.literal("drain"), at: largeInt }),
  z.object({ t: z.literal("resume"), at: largeInt }),
  /** Makes PM2 restart a server. `id`: `restarted` names it; an edge of an earlier release sends none. */
  z.object({ t: z.literal("restart"), port, id: z.optional(recordName) }),
  /** A key was revoked: its queued calls are refused, its running calls finish. */
  z.object({ t: z.literal("revoke"), keyId: recordName }),
  /** A difference between the two sides, for the agent's log: another fleet file, an unknown version. */
  z.object({ t: z.literal("warning"), message: text(400) }),
]);
export type EdgeFrame = z.infer<typeof EdgeFrame>;
/** A command that an operator sends to a box. */
export type BoxCommand = { readonly t: "drain" | "resume" } | Extract<EdgeFrame, { t: "restart" }>;

export type ReadFrame<T> =
  | { readonly kind: "frame"; readonly frame: T }
  /** A frame of a type that this release doesn't have: the other side is newer. It is ignored. */
  | { readonly kind: "unknown" }
  /** `reason` contains nothing of the frame's content. `t` is its type, `field` the invalid field; empty if it has none. */
  | { readonly kind: "invalid"; readonly reason: string; readonly t: string; readonly field: string };

/** Parses a frame of either side. */
export function readFrame<T>(schema: z.ZodMiniType<T>, text: string): ReadFrame<T> {
  const invalid = { kind: "invalid", t: "", field: "" } as const;
  if (text.length > MAX_FRAME_BYTES) return { ...invalid, reason: "the frame is too large" };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ...invalid, reason: "the frame isn't JSON" };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind: "frame", frame: parsed.data };
  const field = parsed.error.issues[0]?.path.map(String).join(".") ?? "";
  const t = z.object({ t: z.string() }).safeParse(value).data?.t ?? "";
  // A known type's own fields are the ones that are invalid.
  if (field === "t" && t !== "") return { kind: "unknown" };
  return { kind: "invalid", reason: `the frame's field "${field}" is invalid`, t, field };
}
