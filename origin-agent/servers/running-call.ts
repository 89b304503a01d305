// A call that has slots of a server, from the lease to its end: passes on what it observes of the server while it runs and
// at its end.
import { NO_TIMINGS, type Timings } from "../answers/answer-json.ts";
import type { SlotReading } from "../probes/llama.ts";
import type { LiveServer } from "./server.ts";
import type { SlotLease, SlotUsage } from "../slots/slot-lease.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Interval at which a running call reports its tokens to the server's health. */
const TOKENS_REPORT_MS = 1_000;

/** A call without a byte that this long after it was sent is missing in two readings of `/slots` has been lost. */
const UNSEEN_MS = 15_000;
const UNSEEN_READINGS = 2;

/** A call's use of a server's slots. It ends with exactly one of `finish`, `refused` and `abandon`. */
export interface Grant {
  readonly upstream: Upstream;
  /** Sent as `id_slot`. */
  readonly slot: number | null;
  /** Sent as `cache_prompt`. */
  readonly cachePrompt: boolean;
  /** Reports that the request was written. */
  sent(): void;
  /** Reports that tokens arrived. */
  progressed(now: number): void;
  /** What it has used on the GPU by the last reading of `/slots`; null if none showed it. */
  usage(): SlotUsage | null;
  /** Sets the function that is called if the server stops decoding this call. */
  watch(onStall: () => void): void;
  /** Whether the server now answers `/health` with 200 on a fresh connection. */
  isUp(): Promise<boolean>;
  finish(timings: Timings | null): void;
  refused(fate: "refused" | "loading" | null): void;
  /** @returns once the call has provably ended on the GPU, what it used there; null if no reading showed it. */
  abandon(fate: "broken" | "stalled" | null): Promise<SlotUsage | null>;
  /** Abandons whatever an exception left of it, for a `finally`; without effect after one of the three. */
  close(): void;
}

export class RunningCall implements Grant {
  readonly #server: LiveServer;
  readonly #lease: SlotLease;
  readonly #others: Set<RunningCall>;
  readonly #onServed: () => void;
  #onStall: (() => void) | null = null;
  #reportedAt: number;
  /** Whether the request was written and no byte of its answer has arrived. */
  #isUnanswered = false;
  /** When `/slots` was first read after that. */
  #unansweredSince: number | null = null;
  #unseen = 0;

  /**
   * @param others the calls that run on this server; includes this one until its end.
   * @param onServed called if the call ends successfully.
   * @param now monotonic milliseconds.
   */
  constructor(
    server: LiveServer,
    lease: SlotLease,
    others: Set<RunningCall>,
    onServed: () => void,
    now: number,
  ) {
    this.#server = server;
    this.#lease = lease;
    this.#others = others;
    this.#onServed = onServed;
    this.#reportedAt = now;
    others.add(this);
  }

  get upstream(): Upstream {
    return this.#server.upstream;
  }

  get slot(): number | null {
    return this.#lease.slot;
  }

  get cachePrompt(): boolean {
    return this.#lease.cachePrompt;
  }

  sent(): void {
    this.#isUnanswered = true;
    this.#unansweredSince = null;
    this.#unseen = 0;
  }

  progressed(now: number): void {
    this.#isUnanswered = false;
    if (now - this.#reportedAt < TOKENS_REPORT_MS) return;
    this.#reportedAt = now;
    this.#server.observe({ kind: "tokens" });
  }

  usage(): SlotUsage | null {
    return this.#server.usageOf(this.#lease);
  }

  watch(onStall: () => void): void {
    this.#onStall = onStall;
  }

  /** Reports that its server or its slot has stalled. */
  stalled(): void {
    this.#onStall?.();
  }

  /** Notes an answered reading of `/slots`: one that wasn't answered proves nothing, as during a long prompt. */
  shown(readings: readonly SlotReading[], askedAt: number): void {
    if (!this.#isUnanswered) return;
    this.#unansweredSince ??= askedAt;
    if (askedAt - this.#unansweredSince < UNSEEN_MS) return;
    const isShown = readings.some(({ id, busy }) => busy && this.#lease.slots.includes(id));
    this.#unseen = isShown ? 0 : this.#unseen + 1;
    if (this.#unseen >= UNSEEN_READINGS) this.stalled();
  }

  isUp(): Promise<boolean> {
    return this.#server.answersHealth();
  }

  finish(timings: Timings | null): void {
    this.#others.delete(this);
    this.#onServed();
    this.#server.observe({ kind: "call", fate: "answered", ...(timings ?? NO_TIMINGS) });
    this.#server.finish(this.#lease);
  }

  refused(fate: "refused" | "loading" | null): void {
    this.#others.delete(this);
    if (fate !== null) this.#server.observe({ kind: "call", fate });
    this.#server.refused(this.#lease);
  }

  abandon(fate: "broken" | "stalled" | null): Promise<SlotUsage | null> {
    this.#others.delete(this);
    const proved = this.#server.abandon(this.#lease);
    if (fate !== null) this.#server.observe({ kind: "call", fate });
    return proved;
  }

  close(): void {
    void this.abandon(null);
  }
}
