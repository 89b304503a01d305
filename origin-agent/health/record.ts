// What is remembered of one server's health, and what can be heard of it. Times are monotonic milliseconds;
// nothing here grows with the number of calls.
import { NOTHING_WATCHED, type DecodeProgress, type SlotReading } from "./decode-progress.ts";
import type { HealthCause, HealthState, StallCause } from "./cause.ts";
import { NO_SPEED, type LearnedSpeed } from "./speed-baseline.ts";
import type { LearnedTimes } from "./duration-baseline.ts";
import type { HealthAnswer } from "../probes/llama.ts";
import type { Pm2Status } from "../probes/pm2-listing.ts";

/** What became of a call that was sent. */
export type CallFate =
  /** A whole good answer. Tokens and times are those the server states (`timings`); null where it doesn't. */
  | {
      readonly fate: "answered";
      readonly decodedTokens: number | null;
      readonly decodeMs: number | null;
      /** Prompt tokens really processed, those from the cache left out. */
      readonly promptTokens: number | null;
      readonly promptMs: number | null;
    }
  /** ECONNREFUSED; a connect that timed out is no fate of this kind. */
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
  /** Tokens of a running call arrived; telling it once a second is enough. */
  | { readonly kind: "tokens" }
  /** A look at `/slots`; null where it gave no answer in time. */
  | { readonly kind: "slots"; readonly slots: readonly SlotReading[] | null }
  /** GPU memory of the server's process, GiB; null where it can't be told. @see gpuMemoryOfServers */
  | { readonly kind: "gpu"; readonly gib: number | null; readonly readAt: number }
  /** What PM2 lists under the server's name; null where PM2 or the name is absent. */
  | { readonly kind: "pm2"; readonly word: Pm2Evidence | null }
  /** The one-token call was sent; its end is told with `one-token`. */
  | { readonly kind: "one-token-sent" }
  | { readonly kind: "one-token"; readonly outcome: OneTokenOutcome }
  | { readonly kind: "drain" }
  | { readonly kind: "resume" };

export interface Pm2Evidence {
  readonly status: Pm2Status;
  readonly pid: number | null;
  readonly restarts: number | null;
  readonly uptimeMs: number | null;
}

export type OneTokenOutcome =
  | { readonly end: "answered"; readonly ms: number }
  | { readonly end: "timeout" | "refused" | "loading" | "broken" }
  /** An answer with an error status: it proves neither. */
  | { readonly end: "error" };

/** The last thing `/health` (or a call) told for certain; `restarted` is PM2's word for a process not yet asked. */
export type Sign = "ok" | "loading" | "refused" | "restarted";

export interface HealthRecord {
  /** What the server should at least hold on the card, GiB; null where nobody says. */
  readonly weightsGib: number | null;
  readonly state: HealthState;
  readonly cause: HealthCause;
  /** When `state` began. */
  readonly since: number;

  readonly sign: Sign | null;
  readonly signAt: number;
  /** Since when `sign` is `ok` without a break. */
  readonly okSince: number;
  /** Probes of `/health` in a row that ended without a certain answer. */
  readonly failures: number;
  readonly brokenCalls: number;
  readonly stall: { readonly cause: StallCause; readonly at: number } | null;
  readonly progress: DecodeProgress;
  readonly decode: LearnedSpeed;
  readonly prompt: LearnedSpeed;
  readonly memory: MemoryEvidence;
  readonly oneToken: OneTokenEvidence;
  readonly pm2: (Pm2Evidence & { readonly at: number }) | null;
  /** When it last went down, or back to loading, after having been up. */
  readonly falls: readonly number[];
  /** Up again after too many falls, and not yet proved. */
  readonly provingSince: number | null;
  readonly draining: boolean;
  /** Since when it has been on its way up; `whole` where that was seen from its beginning. */
  readonly coming: { readonly since: number; readonly whole: boolean } | null;
  readonly loads: LearnedTimes;
  /** When each probe last ended. */
  readonly probed: {
    readonly health: number | null;
    readonly slots: number | null;
    readonly pm2: number | null;
  };
  /** Until then something is changing, and `/health` is asked faster. */
  readonly hurryUntil: number;
}

export interface MemoryEvidence {
  readonly gib: number | null;
  readonly readAt: number;
  readonly lowInARow: number;
  readonly low: boolean;
  /** Its speed contradicted a low reading. */
  readonly disbelieved: boolean;
}

export interface OneTokenEvidence {
  readonly sentAt: number | null;
  readonly endedAt: number | null;
  readonly failures: number;
  /** How long it took while all was well. */
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

/** A server nobody has looked at yet. @param weightsGib the fleet file's `weightsGib`. */
export function newServerHealth(weightsGib: number | null, now: number): HealthRecord {
  return {
    weightsGib,
    state: "down",
    cause: { tag: "not-asked" },
    since: now,
    sign: null,
    signAt: now,
    okSince: now,
    failures: 0,
    brokenCalls: 0,
    stall: null,
    progress: NOTHING_WATCHED,
    decode: NO_SPEED,
    prompt: NO_SPEED,
    memory: NO_MEMORY_EVIDENCE,
    oneToken: { sentAt: null, endedAt: null, failures: 0, times: [], rightInARow: 0 },
    pm2: null,
    falls: [],
    provingSince: null,
    draining: false,
    coming: null,
    loads: [],
    probed: { health: null, slots: null, pm2: null },
    hurryUntil: now,
  };
}
