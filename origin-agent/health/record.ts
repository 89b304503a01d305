// The health record of one server, and the events that change it. Times are monotonic milliseconds; nothing here grows
// with the number of calls.
import type { SlotReading } from "../probes/llama.ts";
import { NOTHING_WATCHED, type DecodeProgress } from "./decode-progress.ts";
import type { HealthCause, HealthState, StallCause } from "./cause.ts";
import { NO_SPEED, type LearnedSpeed } from "./speed-baseline.ts";
import type { LearnedTimes } from "./duration-baseline.ts";
import type { HealthAnswer } from "../probes/llama.ts";
import type { Pm2Status } from "../probes/pm2-listing.ts";

/** How a call to the server ended. */
export type CallFate =
  /** A complete, successful answer. Tokens and times are those the server reports (`timings`); null if it doesn't. */
  | {
      readonly fate: "answered";
      readonly decodedTokens: number | null;
      readonly decodeMs: number | null;
      /** Processed prompt tokens, without those from the cache. */
      readonly promptTokens: number | null;
    }
  /** ECONNREFUSED; a connect timeout doesn't count. */
  | { readonly fate: "refused" }
  /** 503 "Loading model". */
  | { readonly fate: "loading" }
  /** The connection broke on a request that the server may have begun. */
  | { readonly fate: "broken" }
  /** The call's own watchdog saw no token for `STALL_MS`. */
  | { readonly fate: "stalled" };

export type HealthEvent =
  | { readonly kind: "health"; readonly answer: HealthAnswer }
  | ({ readonly kind: "call" } & CallFate)
  /** Tokens of a running call arrived; reported once a second. */
  | { readonly kind: "tokens" }
  /** A reading of `/slots`; null if there was no valid answer in time. */
  | { readonly kind: "slots"; readonly slots: readonly SlotReading[] | "wrong-key" | null }
  /** GPU memory of the server's process in GiB; null if unknown. @see gpuMemoryOfServers */
  | { readonly kind: "gpu"; readonly gib: number | null; readonly readAt: number }
  /** PM2's entry under the server's name; null if PM2 or the entry is missing. */
  | { readonly kind: "pm2"; readonly process: Pm2Evidence | null }
  /** The one-token call was sent; its end is reported with `one-token`. */
  | { readonly kind: "one-token-sent" }
  | { readonly kind: "one-token"; readonly outcome: OneTokenOutcome };

export interface Pm2Evidence {
  readonly status: Pm2Status;
  readonly pid: number | null;
  readonly restarts: number | null;
  readonly uptimeMs: number | null;
}

export type OneTokenOutcome =
  | { readonly end: "answered"; readonly ms: number }
  | { readonly end: "timeout" | "refused" | "loading" | "broken" }
  /** An answer with an error status: it proves nothing. */
  | { readonly end: "error" };

/** The last certain answer of `/health` or a call; `restarted`: PM2 reports a new process that has not been probed yet. */
export type Sign = "ok" | "loading" | "refused" | "restarted";

export interface HealthRecord {
  /** Least GPU memory that the server should use, in GiB; null if the fleet file doesn't state it. */
  readonly weightsGib: number | null;
  readonly state: HealthState;
  readonly cause: HealthCause;
  /** When `state` began. */
  readonly since: number;

  readonly sign: Sign | null;
  readonly signAt: number;
  /** When `sign` last became `ok`. */
  readonly okSince: number;
  /** When it last answered anything: a probe, a call, or a running call with a token. */
  readonly respondedAt: number;
  /** Whether it refused our API key when `/slots` was last answered. */
  readonly refusesKey: boolean;
  /** Consecutive probes of `/health` without a certain answer. */
  readonly failures: number;
  readonly brokenCalls: number;
  readonly stall: { readonly cause: StallCause; readonly at: number } | null;
  readonly progress: DecodeProgress;
  readonly decode: LearnedSpeed;
  readonly memory: MemoryEvidence;
  readonly oneToken: OneTokenEvidence;
  readonly pm2: (Pm2Evidence & { readonly at: number }) | null;
  /** The times at which it went down, or back to loading, after having been up. */
  readonly falls: readonly number[];
  /** When it came up again after too many failures; null once it has decoded a token. */
  readonly provingSince: number | null;
  /** When it began to come up; `whole` if its start was observed. */
  readonly coming: { readonly since: number; readonly whole: boolean } | null;
  readonly loads: LearnedTimes;
  /** When each probe last ended. */
  readonly probed: { readonly health: number | null; readonly slots: number | null };
  /** Until then the state may be changing, and `/health` is probed faster. */
  readonly hurryUntil: number;
}

export interface MemoryEvidence {
  readonly gib: number | null;
  readonly readAt: number;
  readonly lowInARow: number;
  readonly low: boolean;
  /** Whether its speed contradicted a low reading. */
  readonly disbelieved: boolean;
}

export interface OneTokenEvidence {
  readonly sentAt: number | null;
  readonly endedAt: number | null;
  readonly failures: number;
  /** Durations while the server was healthy. */
  readonly times: LearnedTimes;
  readonly rightInARow: number;
}

export const NO_MEMORY_EVIDENCE: MemoryEvidence = {
  gib: null,
  readAt: -Infinity,
  lowInARow: 0,
  low: false,
  disbelieved: false,
};

/** The record of a server that has not been probed yet. @param weightsGib the fleet file's `weightsGib`. */
export function newServerHealth(weightsGib: number | null, now: number): HealthRecord {
  return {
    weightsGib,
    state: "down",
    cause: { tag: "not-asked" },
    since: now,
    sign: null,
    signAt: now,
    okSince: now,
    respondedAt: now,
    refusesKey: false,
    failures: 0,
    brokenCalls: 0,
    stall: null,
    progress: NOTHING_WATCHED,
    decode: NO_SPEED,
    memory: NO_MEMORY_EVIDENCE,
    oneToken: { sentAt: null, endedAt: null, failures: 0, times: [], rightInARow: 0 },
    pm2: null,
    falls: [],
    provingSince: null,
    coming: null,
    loads: [],
    probed: { health: null, slots: null },
    hurryUntil: now,
  };
}
