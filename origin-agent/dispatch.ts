// Finds a call its server and slot: waits where it must, in admission's order, and says at once where there is
// no use in waiting. The one place where slots are leased for calls and given back.
import type { Call } from "../shared/call-headers.ts";
import { Admission, type AdmissionCall, type PortView } from "./admission.ts";
import type { Refusal } from "../shared/errors.ts";
import type { CallFate } from "./health-record.ts";
import { KeyCalls } from "./key-calls.ts";
import type { LiveServer } from "./live-server.ts";
import { queueRefusal, REVOKED, tooManyCalls, WAITED_TOO_LONG } from "./queue-refusals.ts";
import { RevokedKeys } from "./revoked-keys.ts";
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
  /** A server has had it already: whatever becomes of its key, it is one of those that run. */
  readonly begun: boolean;
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
  /** Tokens the server was last seen to have decoded for it; null where that isn't known. */
  readonly decoded: () => number | null;
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
  readonly #keys = new KeyCalls();
  readonly #revoked = new RevokedKeys();
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

  /**
   * Counts a call in against the most its key may have on this box, waiting or running.
   * @returns what counts it out again, once it is over; or why there is no room for it
   */
  admit(call: Pick<Call, "keyId" | "concurrent" | "wantedPort">): (() => void) | Refusal {
    const { keyId, concurrent, wantedPort } = call;
    const leave = this.#keys.enter(keyId, concurrent);
    return leave ?? tooManyCalls(concurrent ?? 0, this.#admission.serviceMs(wantedPort));
  }

  /** Refuses a key's calls that wait; those that a server has go on. @returns how many were in a queue */
  revoke(keyId: string): number {
    this.#revoked.note(keyId, this.#clock());
    const queued = [...this.#waiters.values()].filter(
      ({ request }) => request.call.keyId === keyId && !request.begun,
    );
    for (const waiter of queued) this.#end(waiter, { kind: "changed" });
    for (const wake of this.#onChange) wake();
    return queued.length;
  }

  /** One port's queue, as admission sees it. */
  queueOf(port: number): PortView | null {
    return this.#admission.portView(port);
  }

  /** Tokens of the calls that run on a port, as far as they were seen. */
  decoding(port: number): number {
    let tokens = 0;
    for (const running of this.#running.get(port) ?? []) tokens += running.decoded() ?? 0;
    return tokens;
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
      if (!request.begun && this.#revoked.has(request.call.keyId, this.#clock()))
        return { kind: "refused", refusal: REVOKED };
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
    if (offer.kind === "refused") return queueRefusal(offer.reason, offer.retryAfterMs);
    return new Promise<Turn>((resolve) => {
      const onAbort = (): void => {
        const waiter = this.#waiters.get(id);
        if (waiter !== undefined) this.#end(waiter, { kind: "aborted" });
      };
      let waits = false;
      const settle = (turn: Turn): void => {
        if (waits) signal.removeEventListener("abort", onAbort);
        resolve(turn);
      };
      this.#waiters.set(id, { request, queuedFor: ports, resolve: settle });
      for (const port of ports) this.#pump(port);
      // Most calls have their slot at once, and nothing to be told of.
      waits = this.#waiters.has(id);
      if (!waits) return;
      signal.addEventListener("abort", onAbort, { once: true });
      request.onWait();
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
    const { slot } = lease;
    // What the last look saw there was the call before.
    const before = slot === null ? null : server.lookedIn(slot);
    const decoded = (): number | null => {
      const seen = slot === null ? null : server.lookedIn(slot);
      return seen === null || seen.task === before?.task ? null : seen.decoded;
    };
    const running: Running = { slot, decoded, onStall: null };
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
      decoded,
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
