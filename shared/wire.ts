// What an agent and the edge say to each other over `/_agent/link`: JSON frames, versioned, checked both ways.
// The agent dials. Figures nobody could tell are null, never 0; no frame has a field that could hold a prompt.
import * as z from "zod";
import type { FleetConfig } from "./fleet.ts";
import { MAX_NAME_LENGTH } from "./limits.ts";
import { recordName, UsageCall } from "./usage.ts";

/** Raised when a field changes its meaning; a peer of another version is told so and let go. New optional fields don't raise it. */
export const WIRE_VERSION = 1;

/** Where agents dial, and how they say who they are: the box's name and its token (`agent-to-edge`). */
export const LINK_PATH = "/_agent/link";
export const LINK_BOX_HEADER = "x-isha-box";
/** Within the edge alone: the hash of its own fleet file, handed to the fleet object with an agent's upgrade. */
export const LINK_FLEET_HEADER = "x-isha-fleet-hash";
/** And the names of its boxes, with commas: one that never dials is missed too. */
export const LINK_BOXES_HEADER = "x-isha-fleet-boxes";
/** The servers of those boxes, as JSON: ports by box. */
export const LINK_PORTS_HEADER = "x-isha-fleet-ports";

/** Largest frame either side takes, bytes: a batch of calls is the largest there is, some 60 KB. */
export const MAX_FRAME_BYTES = 256 * 1024;

/** Most calls in one `usage` frame. */
export const MAX_BATCH_CALLS = 200;

/** What the agent sends to see whether the way is whole, and what comes back without waking anybody. */
export const PING = "ping";
export const PONG = "pong";

/**
 * Why the edge ends a link, as the close frame's code (4000 to 4999 are a program's own); the words go with it.
 * `replaced`: a newer socket speaks for the same process, as after a half-open one: nothing to mend. The others
 * come again until somebody mends them, so the agent dials with its longest pause.
 */
export const LINK_CLOSE = {
  /** Not a frame of this protocol: binary, too large, not JSON, unknown, or before `hello`. */
  protocol: 4000,
  /** The peer speaks another `WIRE_VERSION`. */
  version: 4001,
  /** `hello` names another box than the token. */
  box: 4002,
  replaced: 4003,
  /** More sockets for one box than reloads and half-open ones explain; the one heard longest ago goes. */
  tooMany: 4004,
} as const;

/** A box's clock further off than this is told, and its calls are booked when they arrive, milliseconds: five minutes. */
export const CLOCK_OFF_MS = 5 * 60 * 1000;

/**
 * The text whose SHA-256 both sides compare as the fleet file's hash: the file as `defineFleet` gives it, so that
 * spelling and comments don't count.
 */
export const fleetText = (fleet: FleetConfig): string => JSON.stringify(fleet);

/** A server's state in words: `down`, `loading`, `ready`, `slow` (takes calls), `stalled` (decodes nothing), `draining`. */
export const LINK_STATES = ["down", "loading", "ready", "slow", "stalled", "draining"] as const;
export type LinkState = (typeof LINK_STATES)[number];

const text = (most: number) => z.string().max(most);
const figure = z.number().min(0).max(1e12).nullable();
const count = z.int().min(0).max(1e9);
/** A time or a record's number: larger than anything that is counted. */
const mark = z.int().min(0).max(1e15);
const port = z.int().min(1).max(65_535);
const epoch = recordName;

const Hello = z.object({
  t: z.literal("hello"),
  v: z.literal(WIRE_VERSION),
  box: recordName,
  /** One process of the agent: two of them are alive during a reload. */
  epoch,
  /** The program's. */
  version: text(64),
  /** SHA-256 of `fleetText` of the fleet file as the agent read it, hexadecimal. */
  fleetHash: text(64),
  /** The box's wall clock, milliseconds since 1970: how far off it is can be seen, and nothing depends on it. */
  now: mark,
  servers: z.array(z.object({ port, model: recordName })).max(64),
});

export const LinkServer = z.object({
  port,
  state: z.enum(LINK_STATES),
  /** Why, in words for people; empty where the state says all. */
  why: text(200),
  slots: count,
  /** Slots that serve a call or aren't proved free. */
  busy: count,
  /** Calls that wait for it, and how many places there are for waiting. */
  waiting: count,
  places: count,
  /** How long a call that came now would wait, milliseconds; null where it can't be told. */
  waitMs: figure,
  /** Tokens a second over the last ten seconds, all slots together. */
  tokensPerSecond: figure,
  /** Time to the first token over the last five minutes, milliseconds. */
  firstTokenP50Ms: figure.default(null),
  firstTokenP95Ms: figure.default(null),
  /** Streams it went on with where another try of theirs had ended, since the agent's start. */
  continued: count.default(0),
  /** GPU memory of its process, GiB. */
  gpuGib: figure,
  /** Restarts by PM2, as it counts them. */
  restarts: count.nullable(),
});

export const LinkGpu = z.object({
  name: text(MAX_NAME_LENGTH).nullable(),
  memoryUsedGib: figure,
  memoryTotalGib: figure,
  utilizationPercent: figure,
  temperatureC: figure,
  powerWatts: figure,
});
export type LinkGpu = z.infer<typeof LinkGpu>;

const NO_TRAFFIC = {
  windowS: 0,
  byAgent: { agents: [], calls: [], tokens: [] },
  calls: 0,
  failed: 0,
  fallbacks: 0,
  recoveries: 0,
};

/** The calls that ended lately. */
const Traffic = z.object({
  /** Over how long, seconds. */
  windowS: count,
  /** Agent types of the fleet file; any other is `other`. */
  /** In columns: rows that name their fields would be a third of the frame. */
  byAgent: z.object({
    agents: z.array(recordName).max(256),
    calls: z.array(count).max(256),
    tokens: z.array(count).max(256),
  }),
  calls: count,
  /** Those that failed by a fault of ours or a server's, not the client's. */
  failed: count,
  /** Those another server answered than the one that was asked for. */
  fallbacks: count,
  /** Tries again and continuations. */
  recoveries: count,
});

const Snapshot = z.object({
  t: z.literal("snapshot"),
  /** Grows along an epoch. */
  seq: count,
  /** The agent goes, or an operator drained the box: it takes no further calls. */
  draining: z.boolean(),
  servers: z.array(LinkServer).max(64),
  /** Null where nothing answers for GPUs on the box. */
  gpus: z.array(LinkGpu).max(64).nullable(),
  traffic: Traffic.default(NO_TRAFFIC),
  journal: z.object({
    /** `full` and `failing`: calls are served and may not be booked. */
    state: z.enum(["ok", "full", "failing"]),
    /** Of what isn't acknowledged yet, how old the oldest is, milliseconds; null where all is. */
    behindMs: figure,
  }),
});

const Usage = z.object({
  t: z.literal("usage"),
  /** Whose calls these are: the sender's own epoch, or one it adopted. */
  epoch,
  /**
   * The last number that was acknowledged to the sender, 0 before the first. Above the ledger's mark (which only a
   * ledger set back in time has) nothing is booked, and `ack` names the mark: the sender goes on from there with
   * what it still has, and its next `after` is that mark. Numbers of calls are above it and ascend.
   */
  after: mark,
  calls: z.array(UsageCall).min(1).max(MAX_BATCH_CALLS),
});

/** Most failures in one frame; more of a second are in the traffic's counts. */
export const MAX_FAILED_CALLS = 50;

/** Calls that failed after their answer had begun: the edge, which passes a stream on unread, can't know of them. */
const Failed = z.object({
  t: z.literal("failed"),
  calls: z
    .array(
      z.object({
        requestId: recordName,
        keyId: recordName,
        code: recordName,
        route: text(64),
        port: port.nullable(),
        /** How long ago it ended, milliseconds. */
        agoMs: count,
      }),
    )
    .min(1)
    .max(MAX_FAILED_CALLS),
});

const Bye = z.object({ t: z.literal("bye") });

/** What an agent says. */
export const AgentFrame = z.discriminatedUnion("t", [Hello, Snapshot, Usage, Failed, Bye]);
export type AgentFrame = z.infer<typeof AgentFrame>;
export type Hello = z.infer<typeof Hello>;
export type Snapshot = z.infer<typeof Snapshot>;
export type FailedCall = z.infer<typeof Failed>["calls"][number];
export type UsageFrame = z.infer<typeof Usage>;

/** What the edge says. */
export const EdgeFrame = z.discriminatedUnion("t", [
  /** Every call of the epoch up to this number is in the ledger; below the last one said where the ledger was set back. */
  z.object({ t: z.literal("ack"), epoch, upTo: mark }),
  /** The agent takes no further calls until `resume`; what runs goes on. */
  z.object({ t: z.literal("drain") }),
  z.object({ t: z.literal("resume") }),
  /** PM2 restarts a server. */
  z.object({ t: z.literal("restart"), port }),
  /** A key was revoked: calls of it that wait are refused, those that run finish. */
  z.object({ t: z.literal("revoke"), keyId: recordName }),
  /** What the two sides differ in, for the agent's log: another fleet file, a version it doesn't know. */
  z.object({ t: z.literal("warning"), message: text(400) }),
]);
export type EdgeFrame = z.infer<typeof EdgeFrame>;

/**
 * Reads a frame.
 * @returns the frame, or what is wrong with it in words that hold nothing of its content.
 */
export function readFrame<T>(
  schema: z.ZodType<T>,
  frame: string,
): { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string } {
  if (frame.length > MAX_FRAME_BYTES) return { ok: false, reason: "the frame is too large" };
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return { ok: false, reason: "the frame isn't JSON" };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const path = parsed.error.issues[0]?.path.map(String).join(".") ?? "";
  return { ok: false, reason: `the frame's field "${path}" is not as it should be` };
}
