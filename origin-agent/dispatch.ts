// Finds a call its server and slot: waits where it must, in admission's order, and says at once where there is
// no use in waiting. The one place where slots are leased for calls and given back.
import type { Call } from "../shared/call-headers.ts";
import { Admission, type AdmissionCall, type RefusalReason } from "./admission.ts";
import type { Refusal } from "../shared/errors.ts";
import type { CallFate } from "./health-record.ts";
import type { LiveServer } from "./live-server.ts";
import type { SlotLease } from "./slot-lease.ts";
import type { Upstream } from "./upstreams.ts";

/** How often waiting calls are looked over for their deadlines, milliseconds. */
const SWEEP_MS = 250;

/** How long the look takes at most that settles a doubt, milliseconds. */
const DOUBT_MS = 1_000;

/** A call's hold on slots of a server. It ends with exactly one of `finish`, `refused`, `abandon`. */
export interface Grant {
  readonly upstream: Upstream;
  /** What goes out as `id_slot`. */
  readonly slot: number | null;
  /** What goes out as `cache_prompt`. */
  readonly cachePrompt: boolean;
  /** Tokens came. */
  progressed(now: number): void;
  /** Tokens the server was last seen to have decoded for this call; null where it isn't known. */
  decoded(): number | null;
  /** Told once if the server stops decoding this call. */
  watch(onStall: () => void): void;
  finish(fate: Extract<CallFate, { readonly fate: "answered" }>): void;
  refused(fate: "refused" | "loading" | null): void;
  /** @returns once the call is proved to have ended on the GPU. */
  abandon(fate: "broken" | "stalled" | null): Promise<void>;
}

export type Placement =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** None of the ports can take it, and waiting is no use, or was in vain. */
  | { readonly kind: "none"; readonly loading: boolean; readonly remainingMs: number | null }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "aborted" };

export interface PlaceRequest {
  /** What it is called; need not be unique. */
  readonly id: string;
  readonly call: Call;
  readonly ports: readonly number[];
  /** How long a server that is coming up is waited for, milliseconds. */
  readonly waitMs: number;
  /** Waits for a server though nothing says that it is coming: nobody else can do what is asked. */
  readonly patient: boolean;
  /** When the call as a whole is over. */
  readonly deadlineAt: number;
  readonly signal: AbortSignal;
  /** Told where the call must wait. */
  readonly onWait: () => void;
}

type Turn =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** A server it could use has come or gone: choose anew. */
  | { readonly kind: "changed" }
  | { readonly kind: "expired" }
  | { readonly kind: "aborted" };

interface Waiter {
  readonly request: PlaceRequest;
  readonly queuedFor: readonly number[];
  readonly resolve: (turn: Turn) => void;
}

/** Of its server: what watches over it. */
interface Running {
  readonly slot: number | null;
  onStall: (() => void) | null;
}

export class Dispatch {
  readonly #servers: ReadonlyMap<number, LiveServer>;
  readonly #clock: () => number;
  readonly #admission = new Admission();
  readonly #waiters = new Map<string, Waiter>();
  readonly #running = new Map<number, Set<Running>>();
  /** Those who wait for a server to come up. */
  readonly #onChange = new Set<() => void>();
  readonly #sweep: NodeJS.Timeout;
  #placed = 0;

  constructor(servers: ReadonlyMap<number, LiveServer>, clock: () => number) {
    this.#servers = servers;
    this.#clock = clock;
    for (const [port, { upstream }] of servers) {
      this.#admission.resize(port, upstream.server.slots);
      this.#running.set(port, new Set());
    }
    this.#sweep = setInterval(() => this.#expire(), SWEEP_MS);
    this.#sweep.unref();
  }

  stop(): void {
    clearInterval(this.#sweep);
  }

  get queued(): number {
    return this.#waiters.size;
  }

  snapshot(): ReturnType<Admission["snapshot"]> {
    return this.#admission.snapshot();
  }

  /** A server's usability or slots changed. */
  changed(server: LiveServer): void {
    const { total } = server.slots;
    if (total > 0) this.#admission.resize(server.port, total);
    for (const wake of this.#onChange) wake();
    for (const waiter of this.#waiters.values()) {
      const wants = waiter.request.ports.includes(server.port);
      const queued = waiter.queuedFor.includes(server.port);
      const better = wants && !queued && server.preferred;
      const stranded = queued && waiter.queuedFor.every((port) => this.#servers.get(port)?.usable !== true);
      if (better || stranded) this.#end(waiter, { kind: "changed" });
    }
    this.#pump(server.port);
  }

  /** A server stands still: all calls on it, or the one in a slot. */
  stalled(port: number, slot: number | null): void {
    for (const running of this.#running.get(port) ?? []) {
      if (slot === null || running.slot === slot) running.onStall?.();
    }
  }

  /** Finds a slot for a call, however long that may take. */
  async place(asked: PlaceRequest): Promise<Placement> {
    const since = this.#clock();
    // Unique here, whatever ids the edge gave: two calls of one id must not be one to admission.
    const request = { ...asked, id: `${asked.id}~${this.#placed++}` };
    while (!request.signal.aborted) {
      const ports = this.#usable(request.ports);
      if (ports.length === 0) {
        if (request.ports.some((port) => this.#servers.get(port)?.doubted === true)) {
          await this.#nextChange(DOUBT_MS, request.signal);
          continue;
        }
        const left = request.waitMs - (this.#clock() - since);
        const coming = request.ports.filter((port) => this.#servers.get(port)?.waitable === true);
        if ((coming.length === 0 && !request.patient) || left <= 0) return this.#none(request.ports);
        request.onWait();
        await this.#nextChange(left, request.signal);
        continue;
      }
      const turn = await this.#turn(request, ports);
      if ("code" in turn) return { kind: "refused", refusal: turn };
      if (turn.kind === "granted") return turn;
      if (turn.kind === "expired") return { kind: "refused", refusal: WAITED_TOO_LONG };
    }
    return { kind: "aborted" };
  }

  /** The ports that can take calls; where a well one is among them, only those. */
  #usable(ports: readonly number[]): number[] {
    const usable = ports.filter((port) => this.#servers.get(port)?.usable === true);
    const preferred = usable.filter((port) => this.#servers.get(port)?.preferred === true);
    return preferred.length > 0 ? preferred : usable;
  }

  #none(ports: readonly number[]): Placement {
    const servers = ports.flatMap((port) => this.#servers.get(port) ?? []);
    const remaining = servers.flatMap((server) => server.remainingLoadMs ?? []);
    return {
      kind: "none",
      loading: servers.some((server) => server.waitable),
      remainingMs: remaining.length === 0 ? null : Math.min(...remaining),
    };
  }

  async #nextChange(withinMs: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#onChange.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, withinMs);
      this.#onChange.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  async #turn(request: PlaceRequest, ports: readonly number[]): Promise<Turn | Refusal> {
    const { id, call, deadlineAt, signal } = request;
    const asked: AdmissionCall = {
      id,
      keyId: call.keyId,
      scope: call.scope,
      priority: call.priority,
      ports,
      choices: call.choices,
      deadlineAt,
    };
    const offer = this.#admission.offer(asked, this.#clock());
    if (offer.kind === "refused") return refusalFor(offer.reason, offer.retryAfterMs);
    return new Promise<Turn>((resolve) => {
      const onAbort = (): void => {
        const waiter = this.#waiters.get(id);
        if (waiter !== undefined) this.#end(waiter, { kind: "aborted" });
      };
      const settle = (turn: Turn): void => {
        signal.removeEventListener("abort", onAbort);
        resolve(turn);
      };
      this.#waiters.set(id, { request, queuedFor: ports, resolve: settle });
      signal.addEventListener("abort", onAbort, { once: true });
      for (const port of ports) this.#pump(port);
      if (this.#waiters.has(id)) request.onWait();
    });
  }

  #end(waiter: Waiter, turn: Turn): void {
    const { id } = waiter.request;
    this.#admission.leave(id);
    this.#waiters.delete(id);
    waiter.resolve(turn);
  }

  #expire(): void {
    for (const id of this.#admission.expire(this.#clock())) {
      const waiter = this.#waiters.get(id);
      this.#waiters.delete(id);
      waiter?.resolve({ kind: "expired" });
    }
  }

  /** Gives a port's free slots to those whose turn it is. */
  #pump(port: number): void {
    const server = this.#servers.get(port);
    if (server === undefined) return;
    for (;;) {
      const next = this.#admission.head(port, server.available, this.#clock());
      const waiter = next === null ? undefined : this.#waiters.get(next.id);
      if (next === null || waiter === undefined) return;
      const lease = server.acquire({ scope: next.scope, choices: next.choices, pinned: true });
      if (lease === null) return;
      this.#admission.take(next.id, port);
      this.#waiters.delete(next.id);
      waiter.resolve({ kind: "granted", grant: this.#grant(server, lease, next.choices) });
    }
  }

  #grant(server: LiveServer, lease: SlotLease, choices: number): Grant {
    const since = this.#clock();
    const running: Running = { slot: lease.slot, onStall: null };
    const all = this.#running.get(server.port);
    all?.add(running);
    let toldAt = since;
    return {
      upstream: server.upstream,
      slot: lease.slot,
      cachePrompt: lease.cachePrompt,
      progressed: (now) => {
        if (now - toldAt < TOKENS_TOLD_MS) return;
        toldAt = now;
        server.hear({ kind: "tokens" });
      },
      decoded: () => (lease.slot === null ? null : server.decodedIn(lease.slot)),
      watch: (onStall) => {
        running.onStall = onStall;
      },
      finish: (fate) => {
        all?.delete(running);
        this.#admission.served(server.port, this.#clock() - since, choices);
        server.hear({ kind: "call", ...fate });
        server.finish(lease);
      },
      refused: (fate) => {
        all?.delete(running);
        if (fate !== null) server.hear({ kind: "call", fate });
        server.refused(lease);
      },
      abandon: (fate) => {
        all?.delete(running);
        const proved = server.abandon(lease);
        if (fate !== null) server.hear({ kind: "call", fate });
        return proved;
      },
    };
  }
}

/** Tokens of a running call are told to its server's health this often, milliseconds. */
const TOKENS_TOLD_MS = 1_000;

function refusalFor(reason: RefusalReason, retryAfterMs: number | null): Refusal {
  return {
    code: "overloaded",
    message: WHY_FULL[reason],
    retryAfterMs: retryAfterMs ?? undefined,
    internal: reason,
  };
}

const WHY_FULL: Readonly<Record<RefusalReason, string>> = {
  full: "All places in the queue for this model are taken. Ask again after Retry-After.",
  "too-long": "The queue for this model is longer than this call may wait. Ask again after Retry-After.",
  "key-share":
    "This API key holds half of the queue for this model already. Wait for its calls to be answered.",
  "too-wide": "No server of this model gives so many answers at once. Ask for fewer (n).",
};

const WAITED_TOO_LONG: Refusal = {
  code: "overloaded",
  message: "The call waited for the model as long as a call may. Ask again in a few seconds.",
  retryAfterMs: 5_000,
  internal: "queue deadline",
};
