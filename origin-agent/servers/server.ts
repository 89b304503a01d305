// Tracks one llama-server: its slots, its health, and the probes that keep both current. It runs the probes that the pure
// cores (slots/, health/) schedule, and reports changes.
import { probeHealth, readSlots, type SlotReading } from "../probes/llama.ts";
import { ProbeConnection } from "../probes/probe-connection.ts";
import { ONE_TOKEN_TIMEOUT_MS, nextProbeAt } from "../health/probe-schedule.ts";
import { newServerHealth, type HealthEvent, type HealthRecord } from "../health/record.ts";
import {
  isPreferred,
  isUsable,
  isWaitable,
  remainingLoadMs,
  step,
  viewOf,
  type HealthChange,
  type HealthView,
} from "../health/state-machine.ts";
import type { ProvedEnd, SlotLease, SlotRequest, SlotUsage, StuckSlot } from "../slots/slot-lease.ts";
import { ServerSlots } from "../slots/slots.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Interval of `/slots` while an abandoned slot awaits its proof. */
const PROOF_POLL_MS = 20;

/** Interval of `/slots` while the slots are unknown, and the number of failures before that is reported. */
const UNKNOWN_SLOTS_POLL_MS = 100;
const WRONG_KEY_POLL_MS = 1_000;
const MAX_UNANSWERED = 20;

/** Interval of `/slots` while none of our calls is on the server. */
const IDLE_POLL_MS = 5_000;

/** Pause after an exception of ours: without it, the same one would follow immediately. */
const FAULT_PAUSE_MS = 1_000;

/** Interval at which the box calls `tick`: no probe is later than that. */
export const TICK_MS = 250;

/** A probe of `/health` begins up to this much early, so that the steady ones of all servers share one tick. */
const EARLY_MS = 10;

/** Least pause before a probe that is due earlier. */
const MIN_PAUSE_MS = 5;

export interface LiveServerOptions {
  readonly upstream: Upstream;
  readonly apiKey: string;
  /** Time limit of `/health`; `PROBE_TIMEOUT_MS` by default. */
  readonly healthTimeoutMs: number | undefined;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
  /** Called when its usability changed or slots became free. */
  readonly onChange: (server: LiveServer) => void;
  readonly onHealth: (server: LiveServer, change: HealthChange) => void;
  /** Called when it answers but doesn't report its slots. */
  readonly onSlotsUnknown: (server: LiveServer) => void;
  /** Called when an abandoned call has provably ended on the GPU. */
  readonly onProved: (end: ProvedEnd) => void;
  /** Called with each answered reading of `/slots` and when it was requested. */
  readonly onSlots: (server: LiveServer, readings: readonly SlotReading[], askedAt: number) => void;
  /** Called if a probe failed by an exception of ours. */
  readonly onFault: (server: LiveServer, error: unknown) => void;
}

export class LiveServer {
  readonly upstream: Upstream;
  readonly #options: LiveServerOptions;
  readonly #connection: ProbeConnection;
  readonly #slots = new ServerSlots();
  /** Whether it generates text, and so supports a one-token call. */
  readonly chats: boolean;
  #health: HealthRecord;
  /** When a broken call made it doubtful; the next probe of `/health` settles it. */
  #doubtedAt: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  /** Earliest next one-token call: a server without a free slot shows by its progress whether it decodes. */
  #oneTokenNotBefore = -Infinity;
  /** Consecutive reads of `/slots` without an answer while the slots are unknown. */
  #unanswered = 0;
  /** No probe begins before. */
  #pausedUntil = -Infinity;
  /** Probes in flight: one of each kind at a time. */
  readonly #inFlight = new Set<"health" | "slots" | "one-token">();
  readonly #proofs = new Map<SlotLease, (usage: SlotUsage | null) => void>();

  constructor(options: LiveServerOptions) {
    this.#options = options;
    this.upstream = options.upstream;
    this.#connection = new ProbeConnection(options.upstream.origin);
    const { capabilities, weightsGib } = this.upstream.server;
    this.chats = capabilities.includes("chat");
    this.#health = newServerHealth(weightsGib, options.clock());
  }

  get port(): number {
    return this.upstream.server.port;
  }

  get usable(): boolean {
    // Without known slots no call could be sent there, and calls would wait until their deadlines.
    return this.#doubtedAt === null && isUsable(this.#health) && this.#slots.total > 0;
  }

  get preferred(): boolean {
    return this.usable && isPreferred(this.#health);
  }

  /** Whether a call has just broken here and the probe that settles the doubt is in flight. */
  get doubted(): boolean {
    return this.#doubtedAt !== null;
  }

  /** Whether it has been probed. */
  get known(): boolean {
    return this.#health.cause.tag !== "not-asked" && (!isUsable(this.#health) || this.#slots.total > 0);
  }

  get waitable(): boolean {
    if (this.#doubtedAt !== null || isWaitable(this.#health, this.#options.clock())) return true;
    return isUsable(this.#health) && this.#slots.total === 0 && this.#unanswered < MAX_UNANSWERED;
  }

  /** Time until it is ready, in milliseconds; null if unknown. */
  get remainingLoadMs(): number | null {
    return remainingLoadMs(this.#health, this.#options.clock());
  }

  get slots(): ServerSlots["counts"] {
    return this.#slots.counts;
  }

  /** Whether a call of this scope would get a slot that has its earlier turns in the cache. */
  holdsCache(scope: string): boolean {
    return this.usable && this.#slots.holdsCache(scope);
  }

  /** Number of slots that a call can get now. */
  get available(): number {
    return this.usable ? this.#slots.available : 0;
  }

  /** What a running call has used so far; null if no reading has shown it. */
  usageOf(lease: SlotLease): SlotUsage | null {
    return this.#slots.usageOf(lease);
  }

  view(): HealthView {
    return viewOf(this.#health, this.#options.clock());
  }

  stuckSlots(): readonly StuckSlot[] {
    return this.#slots.stuck(this.#options.clock());
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#connection.close();
  }

  acquire(request: SlotRequest): SlotLease | null {
    const lease = this.#slots.acquire(request, this.#options.clock());
    this.#wake();
    return lease;
  }

  /** Frees the slots of a call that ended successfully. */
  finish(lease: SlotLease): void {
    this.#slots.finish(lease, this.#options.clock());
    this.#options.onChange(this);
  }

  /** Frees the slots of a call that the server refused or that never reached it. */
  refused(lease: SlotLease): void {
    this.#slots.refused(lease, this.#options.clock());
    this.#options.onChange(this);
    this.#wake();
  }

  /**
   * Ends the lease of an aborted or broken call.
   * @returns once the call has provably ended on the GPU, what it used there; null if no reading showed it.
   */
  abandon(lease: SlotLease): Promise<SlotUsage | null> {
    if (!this.#slots.abandon(lease, this.#options.clock())) return Promise.resolve(null);
    this.#wake();
    return new Promise((resolve) => this.#proofs.set(lease, resolve));
  }

  /** Whether it answers `/health` with 200 now: asked after a break, apart from the scheduled probes. */
  async answersHealth(): Promise<boolean> {
    const fresh = new ProbeConnection(this.upstream.origin);
    return (await probeHealth(fresh, this.#options.healthTimeoutMs)) === "ok";
  }

  /** Sets whether another agent process leases the same slots; then no cache is reused. */
  share(shared: boolean): void {
    this.#slots.share(shared);
  }

  /** Applies an observation of this server. */
  observe(event: HealthEvent): void {
    const now = this.#options.clock();
    const before = this.#health;
    if (event.kind === "call" && event.fate === "broken") this.#doubt(now);
    const { record, changes } = step(before, event, now);
    this.#health = record;
    const gone = record.sign !== before.sign && record.sign !== "ok";
    if (gone || changes.some(({ kind }) => kind === "restarted")) this.#prove(this.#slots.forget(now));
    for (const change of changes) this.#options.onHealth(this, change);
    if (gone || isUsable(before) !== isUsable(record) || isPreferred(before) !== isPreferred(record))
      this.#options.onChange(this);
    this.#wake();
  }

  /** Starts the probes that are due, and sets a timer for one that is due before the next tick. */
  tick(): void {
    if (this.#stopped) return;
    const now = this.#options.clock();
    let next = this.#pausedUntil;
    try {
      if (next <= now) next = this.#beginDue(now);
    } catch (error) {
      this.#fault(error);
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (next - now < TICK_MS) this.#tickAfter(Math.max(next - now, MIN_PAUSE_MS));
  }

  #tickAfter(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.tick(), ms);
  }

  /** Starts the probes that are due. @returns when the next one is; the end of one in flight is a tick too */
  #beginDue(now: number): number {
    const { health, slots, oneToken } = nextProbeAt(this.#health, now);
    return Math.min(
      this.#begin("health", this.#doubtedAt === null ? health - EARLY_MS : now, now, () =>
        this.#probeHealth(),
      ),
      this.#begin("slots", this.#slotsDueAt(slots), now, () => this.#probeSlots()),
      this.#begin("one-token", this.#oneTokenDueAt(oneToken), now, () => this.#probeOneToken()),
    );
  }

  #oneTokenDueAt(scheduled: number | null): number {
    return this.chats ? Math.max(scheduled ?? Infinity, this.#oneTokenNotBefore) : Infinity;
  }

  /** An exception of ours ends one round of probes; the next one begins after a pause. */
  #fault(error: unknown): void {
    this.#pausedUntil = this.#options.clock() + FAULT_PAUSE_MS;
    this.#options.onFault(this, error);
  }

  #slotsDueAt(scheduled: number | null): number {
    if (this.#health.sign !== "ok") return Infinity;
    const readAt = this.#health.probed.slots ?? 0;
    if (this.#health.refusesKey) return readAt + WRONG_KEY_POLL_MS;
    if (this.#slots.total === 0) return readAt + UNKNOWN_SLOTS_POLL_MS;
    if (this.#slots.polling) return readAt + PROOF_POLL_MS;
    // None of our calls runs here: only a foreign call could appear.
    return this.#slots.counts.leased === 0 ? readAt + IDLE_POLL_MS : (scheduled ?? Infinity);
  }

  /** Shortens the pause if a probe may be due earlier. */
  #wake(): void {
    if (!this.#stopped && (this.#slots.polling || this.#slots.total === 0)) this.#tickAfter(1);
  }

  /** Starts a probe that is due, one of each kind at a time. @returns when it is due; Infinity while it is in flight */
  #begin(
    kind: "health" | "slots" | "one-token",
    dueAt: number,
    now: number,
    probe: () => Promise<void>,
  ): number {
    if (this.#inFlight.has(kind)) return Infinity;
    if (dueAt > now) return dueAt;
    this.#inFlight.add(kind);
    void probe()
      .catch((error: unknown) => this.#fault(error))
      .finally(() => {
        this.#inFlight.delete(kind);
        this.tick();
      });
    return Infinity;
  }

  #doubt(now: number): void {
    this.#doubtedAt = now;
    this.#options.onChange(this);
    this.tick();
  }

  async #probeHealth(): Promise<void> {
    const askedAt = this.#options.clock();
    const answer = await probeHealth(this.#connection, this.#options.healthTimeoutMs);
    if (this.#stopped) return;
    this.observe({ kind: "health", answer });
    // An answer to a probe from before the break doesn't apply to the current process.
    if (this.#doubtedAt === null || askedAt < this.#doubtedAt) return;
    this.#doubtedAt = null;
    this.#options.onChange(this);
  }

  async #probeSlots(): Promise<void> {
    const askedAt = this.#options.clock();
    const readings = await readSlots(this.#connection, this.#options.apiKey, this.#slots.polling);
    if (this.#stopped) return;
    this.#unanswered = readings === null && this.#slots.total === 0 ? this.#unanswered + 1 : 0;
    if (this.#unanswered === MAX_UNANSWERED) this.#options.onSlotsUnknown(this);
    if (readings !== null && readings !== "wrong-key") {
      const before = this.#slots.counts;
      const awaited = this.#slots.polling;
      const { freed, proved } = this.#slots.observe(readings, askedAt, this.#options.clock());
      this.#prove(proved);
      if (freed.length > 0 || before.total !== this.#slots.total || awaited) this.#options.onChange(this);
      this.#options.onSlots(this, readings, askedAt);
    }
    this.observe({ kind: "slots", slots: readings });
  }

  /** Sends a one-token call on a slot of its own: it shows whether the GPU still decodes if there is no other evidence. */
  async #probeOneToken(): Promise<void> {
    const lease = this.#slots.acquire({ scope: null, choices: 1, pinned: true }, this.#options.clock());
    this.#oneTokenNotBefore = this.#options.clock() + TICK_MS;
    if (lease === null) return;
    try {
      this.observe({ kind: "one-token-sent" });
      const sentAt = this.#options.clock();
      const body = { prompt: "a", n_predict: 1, cache_prompt: false, id_slot: lease.slot };
      const end = await this.upstream.ask("/v1/completions", body, ONE_TOKEN_TIMEOUT_MS);
      if (this.#stopped) return;
      if (end === "answered") this.finish(lease);
      else if (end !== "timeout" && end !== "broken") this.refused(lease);
      const ms = this.#options.clock() - sentAt;
      this.observe({ kind: "one-token", outcome: end === "answered" ? { end, ms } : { end } });
    } finally {
      // Without effect on a lease that has ended.
      void this.abandon(lease);
    }
  }

  #prove(ends: readonly ProvedEnd[]): void {
    for (const end of ends) {
      this.#options.onProved(end);
      this.#proofs.get(end.lease)?.(end.usage);
      this.#proofs.delete(end.lease);
    }
  }
}
