// One llama-server as it is now: its slots, its health, and the looks that keep both true. It performs what
// the pure cores (slots.ts, server-health.ts, health-schedule.ts) say is due, and tells when something changed.
import { probeHealth } from "./probes/llama.ts";
import { readSlots } from "./probes/slots.ts";
import { ONE_TOKEN_TIMEOUT_MS, nextProbeAt } from "./health-schedule.ts";
import { newServerHealth, type HealthEvent, type HealthRecord } from "./health-record.ts";
import {
  isPreferred,
  isUsable,
  isWaitable,
  remainingLoadMs,
  step,
  viewOf,
  type HealthChange,
  type HealthView,
} from "./server-health.ts";
import type { ProvedEnd, SlotLease, SlotRequest, StuckSlot } from "./slot-lease.ts";
import { ServerSlots } from "./slots.ts";
import type { Upstream } from "./upstreams.ts";

/** While an abandoned slot awaits its proof, `/slots` is asked this often, milliseconds. */
const PROOF_POLL_MS = 20;

/** While nothing is known of the slots they are asked for this often, milliseconds, and so often before that is told. */
const UNTOLD_LOOK_MS = 100;
const MOST_UNTOLD = 20;

/** While no call of ours is on the server, `/slots` is asked this often, milliseconds. */
const IDLE_LOOK_MS = 5_000;

/** The longest pause between two looks at the clock, milliseconds: nothing due is later than that. */
const LONGEST_PAUSE_MS = 250;

export interface LiveServerOptions {
  readonly upstream: Upstream;
  readonly apiKey: string;
  /** How long an answer of `/health` is waited for; `PROBE_TIMEOUT_MS` unless given. */
  readonly healthTimeoutMs: number | undefined;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
  /** Whether it may be used changed, or slots came free. */
  readonly onChange: (server: LiveServer) => void;
  readonly onHealth: (server: LiveServer, change: HealthChange) => void;
  /** It answers, and doesn't say what slots it has. */
  readonly onSlotsUntold: (server: LiveServer) => void;
  /** An abandoned call is proved to have ended on the GPU. */
  readonly onProved: (end: ProvedEnd) => void;
}

export class LiveServer {
  readonly upstream: Upstream;
  readonly #options: LiveServerOptions;
  readonly #slots = new ServerSlots();
  /** Whether a one-token call can be made of it. */
  readonly #chats: boolean;
  #health: HealthRecord;
  /** Since when a call that broke makes it doubtful; the next look at `/health` settles it. */
  #doubtedAt: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  /** A server without a free slot is busy enough to show by itself whether it decodes. */
  #oneTokenNotBefore = -Infinity;
  /** Looks at `/slots` in a row without an answer, while nothing is known of them. */
  #untoldLooks = 0;
  /** Which looks are under way: one of a kind at a time. */
  readonly #looking = new Set<"health" | "slots" | "one-token">();
  readonly #proofs = new Map<SlotLease, () => void>();

  constructor(options: LiveServerOptions) {
    this.#options = options;
    this.upstream = options.upstream;
    const { capabilities, weightsGib } = this.upstream.server;
    this.#chats = capabilities.includes("chat");
    this.#health = newServerHealth(weightsGib, options.clock());
  }

  get port(): number {
    return this.upstream.server.port;
  }

  get usable(): boolean {
    // Without its slots nothing could be sent there, and calls would wait for their deadlines.
    return this.#doubtedAt === null && isUsable(this.#health) && this.#slots.total > 0;
  }

  get preferred(): boolean {
    return this.usable && isPreferred(this.#health);
  }

  /** A call has just broken here; a look that is under way will tell. */
  get doubted(): boolean {
    return this.#doubtedAt !== null;
  }

  /** Whether it has been looked at: nothing is said of a server nobody has asked. */
  get known(): boolean {
    return this.#health.cause.tag !== "not-asked" && (!isUsable(this.#health) || this.#slots.total > 0);
  }

  get waitable(): boolean {
    if (this.#doubtedAt !== null || isWaitable(this.#health, this.#options.clock())) return true;
    return isUsable(this.#health) && this.#slots.total === 0 && this.#untoldLooks < MOST_UNTOLD;
  }

  /** What is left until it is ready, milliseconds; null where nobody can tell. */
  get remainingLoadMs(): number | null {
    return remainingLoadMs(this.#health, this.#options.clock());
  }

  get slots(): ServerSlots["counts"] {
    return this.#slots.counts;
  }

  /** Slots a call can have now. */
  get available(): number {
    return this.usable ? this.#slots.available : 0;
  }

  /** The task in a slot when it was last looked at, and the tokens it had; null where the slot was idle. */
  lookedIn(slot: number): { readonly task: number | null; readonly decoded: number | null } | null {
    return this.#health.progress.busy.find(({ id }) => id === slot) ?? null;
  }

  view(): HealthView {
    return viewOf(this.#health, this.#options.clock());
  }

  stuckSlots(): readonly StuckSlot[] {
    return this.#slots.stuck(this.#options.clock());
  }

  start(): void {
    this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  acquire(request: SlotRequest): SlotLease | null {
    const lease = this.#slots.acquire(request, this.#options.clock());
    this.#wake();
    return lease;
  }

  /** The call ended well, and how its answer was told. */
  finish(lease: SlotLease): void {
    this.#slots.finish(lease, this.#options.clock());
    this.#options.onChange(this);
  }

  /** The server said no, or was never reached. */
  refused(lease: SlotLease): void {
    this.#slots.refused(lease, this.#options.clock());
    this.#options.onChange(this);
    this.#wake();
  }

  /** The call was aborted, or broke. @returns once it is proved to have ended on the GPU. */
  abandon(lease: SlotLease): Promise<void> {
    if (!this.#slots.abandon(lease, this.#options.clock())) return Promise.resolve();
    this.#wake();
    return new Promise((resolve) => this.#proofs.set(lease, resolve));
  }

  /** Another agent process of ours leases the same slots: nothing of their caches is reused. */
  share(shared: boolean): void {
    this.#slots.share(shared);
  }

  /** Takes in what somebody saw of this server. */
  hear(event: HealthEvent): void {
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

  /** Looks at whatever is due, then sleeps until the next is. */
  #tick(): void {
    if (this.#stopped) return;
    const now = this.#options.clock();
    const due = nextProbeAt(this.#health, now);
    if (due.health <= now || this.#doubtedAt !== null) this.#look("health", () => this.#lookAtHealth());
    const slotsDue = this.#slotsDueAt(due.slots);
    if (slotsDue <= now) this.#look("slots", () => this.#lookAtSlots());
    const oneTokenDue = this.#chats ? Math.max(due.oneToken ?? Infinity, this.#oneTokenNotBefore) : Infinity;
    if (oneTokenDue <= now) this.#look("one-token", () => this.#askOneToken());
    const next = Math.min(due.health, slotsDue, oneTokenDue, now + LONGEST_PAUSE_MS);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), Math.max(next - now, 5));
  }

  #slotsDueAt(scheduled: number | null): number {
    if (this.#health.sign !== "ok") return Infinity;
    if (this.#slots.total === 0) return (this.#health.probed.slots ?? 0) + UNTOLD_LOOK_MS;
    const looked = this.#health.probed.slots ?? 0;
    if (this.#slots.polling) return looked + PROOF_POLL_MS;
    // Nobody is at work here: only a stranger could be seen.
    return this.#slots.counts.leased === 0 ? looked + IDLE_LOOK_MS : (scheduled ?? Infinity);
  }

  /** Something may be due earlier than was thought. */
  #wake(): void {
    if (this.#stopped || this.#timer === null) return;
    if (this.#slots.polling || this.#slots.total === 0) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#tick(), 1);
    }
  }

  #look(kind: "health" | "slots" | "one-token", look: () => Promise<void>): void {
    if (this.#looking.has(kind)) return;
    this.#looking.add(kind);
    void look().finally(() => {
      this.#looking.delete(kind);
      this.#tick();
    });
  }

  #doubt(now: number): void {
    this.#doubtedAt = now;
    this.#options.onChange(this);
    this.#tick();
  }

  async #lookAtHealth(): Promise<void> {
    const askedAt = this.#options.clock();
    const answer = await probeHealth(this.upstream.origin, this.#options.healthTimeoutMs);
    if (this.#stopped) return;
    this.hear({ kind: "health", answer });
    // An answer to a question from before the break says nothing of what is there now.
    if (this.#doubtedAt === null || askedAt < this.#doubtedAt) return;
    this.#doubtedAt = null;
    this.#options.onChange(this);
  }

  async #lookAtSlots(): Promise<void> {
    const askedAt = this.#options.clock();
    const readings = await readSlots(this.upstream.origin, this.#options.apiKey);
    if (this.#stopped) return;
    this.#untoldLooks = readings === null && this.#slots.total === 0 ? this.#untoldLooks + 1 : 0;
    if (this.#untoldLooks === MOST_UNTOLD) this.#options.onSlotsUntold(this);
    if (readings !== null) {
      const before = this.#slots.counts;
      const awaited = this.#slots.polling;
      const { freed, proved } = this.#slots.observe(readings, askedAt, this.#options.clock());
      this.#prove(proved);
      if (freed.length > 0 || before.total !== this.#slots.total || awaited) this.#options.onChange(this);
    }
    this.hear({ kind: "slots", slots: readings });
  }

  /** A call of one token, on a slot of its own: whether the GPU still decodes, asked where nothing else tells. */
  async #askOneToken(): Promise<void> {
    const lease = this.#slots.acquire({ scope: null, choices: 1, pinned: true }, this.#options.clock());
    this.#oneTokenNotBefore = this.#options.clock() + LONGEST_PAUSE_MS;
    if (lease === null) return;
    this.hear({ kind: "one-token-sent" });
    const sentAt = this.#options.clock();
    const body = { prompt: "a", n_predict: 1, cache_prompt: false, id_slot: lease.slot };
    const end = await this.upstream.ask("/v1/completions", body, ONE_TOKEN_TIMEOUT_MS);
    if (this.#stopped) return;
    if (end === "answered") this.finish(lease);
    else if (end === "timeout" || end === "broken") void this.abandon(lease);
    else this.refused(lease);
    const ms = this.#options.clock() - sentAt;
    this.hear({ kind: "one-token", outcome: end === "answered" ? { end, ms } : { end } });
  }

  #prove(ends: readonly ProvedEnd[]): void {
    for (const end of ends) {
      this.#options.onProved(end);
      this.#proofs.get(end.lease)?.();
      this.#proofs.delete(end.lease);
    }
  }
}
