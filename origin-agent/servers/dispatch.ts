// Finds a call its server and slot: waits where it must, in admission's order, and says at once where there is
// no use in waiting. The one place where slots are leased for calls and given back.
import type { Call } from "../../shared/call-headers.ts";
import { Admission, type AdmissionCall, type PortView } from "../queue/admission.ts";
import type { Refusal } from "../../shared/errors.ts";
import { KeyConcurrency } from "../queue/key-concurrency.ts";
import type { LiveServer } from "./server.ts";
import { queueRefusal, REVOKED, tooManyCalls, WAITED_TOO_LONG } from "../queue/refusals.ts";
import { RevokedKeys } from "../queue/revoked-keys.ts";
import { RunningCall, type Grant } from "./running-call.ts";
import type { SlotLease } from "../slots/lease.ts";

/** How often waiting calls are looked over for their deadlines, milliseconds. */
const SWEEP_MS = 250;

/** How long the look takes at most that settles a doubt, milliseconds. */
const DOUBT_MS = 1_000;

export type Placement =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** None of the ports can take it, and waiting is no use, or was in vain. */
  | { readonly kind: "none"; readonly loading: boolean; readonly remainingMs: number | null }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "aborted" };

export interface PlaceRequest {
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
  readonly id: string;
  readonly request: PlaceRequest;
  readonly queuedFor: readonly number[];
  readonly resolve: (turn: Turn) => void;
}

export class Dispatch {
  readonly #servers: ReadonlyMap<number, LiveServer>;
  readonly #clock: () => number;
  readonly #admission = new Admission();
  readonly #waiters = new Map<string, Waiter>();
  readonly #running = new Map<number, Set<RunningCall>>();
  /** Those who wait for a server to come up. */
  readonly #onChange = new Set<() => void>();
  readonly #sweep: NodeJS.Timeout;
  readonly #keys = new KeyConcurrency();
  readonly #revoked = new RevokedKeys();
  #queuedSoFar = 0;

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
      if (slot === null || running.slot === slot) running.stalled();
    }
  }

  /** Finds a slot for a call, however long that may take. */
  async place(request: PlaceRequest): Promise<Placement> {
    const since = this.#clock();
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
      const passed = this.#pass(request, ports);
      if (passed !== null) return { kind: "granted", grant: passed };
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

  /** Most calls find a slot free and nobody before them. */
  #pass({ call, deadlineAt }: PlaceRequest, ports: readonly number[]): Grant | null {
    const { scope, choices } = call;
    const now = this.#clock();
    for (const port of ports) {
      const server = this.#servers.get(port);
      const free = server?.available ?? 0;
      if (server === undefined || free < choices || !this.#admission.mayPass(port, deadlineAt, now)) continue;
      const lease = server.acquire({ scope, choices, pinned: true });
      // It must go out alone, and those before it haven't been seen yet: it waits for its turn.
      if (lease === null) continue;
      this.#admission.passed(port, choices, free);
      return this.#grant(server, lease, choices);
    }
    return null;
  }

  async #turn(request: PlaceRequest, ports: readonly number[]): Promise<Turn | Refusal> {
    const { call, deadlineAt, signal } = request;
    // Of our own, whatever ids the edge gave: two calls of one id must not be one to admission.
    const id = `${call.requestId}~${this.#queuedSoFar++}`;
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
      const settle = (turn: Turn): void => {
        signal.removeEventListener("abort", onAbort);
        resolve(turn);
      };
      this.#waiters.set(id, { id, request, queuedFor: ports, resolve: settle });
      for (const port of ports) this.#pump(port);
      if (!this.#waiters.has(id)) return;
      signal.addEventListener("abort", onAbort, { once: true });
      request.onWait();
    });
  }

  #end(waiter: Waiter, turn: Turn): void {
    this.#admission.leave(waiter.id);
    this.#waiters.delete(waiter.id);
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
    const { port } = server;
    const since = this.#clock();
    const running = this.#running.get(port) ?? new Set();
    const served = (): void => this.#admission.served(port, this.#clock() - since, choices);
    return new RunningCall(server, lease, running, served, since);
  }
}
