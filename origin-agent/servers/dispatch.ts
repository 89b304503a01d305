// Finds a server and a slot for a call: queues it in admission's order, or returns immediately if waiting can't help. Slots
// are leased for calls and released only here.
import type { Call } from "../../shared/call-headers.ts";
import { Admission, type AdmissionCall, type PortView } from "../queue/admission.ts";
import type { Refusal } from "../../shared/errors.ts";
import { KeyConcurrency } from "../queue/key-concurrency.ts";
import type { LiveServer } from "./server.ts";
import { queueRefusal, REVOKED, tooManyCalls, WAITED_TOO_LONG } from "../queue/refusals.ts";
import { RevokedKeys } from "../queue/revoked-keys.ts";
import { RunningCall, type Grant } from "./running-call.ts";
import type { SlotLease } from "../slots/slot-lease.ts";

/** Interval at which the deadlines of waiting calls are checked. */
const SWEEP_MS = 250;

/** Longest time that the probe of a doubted server takes. */
const DOUBT_MS = 1_000;

export type Placement =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** None of the ports can take the call, and waiting can't help or didn't. */
  | { readonly kind: "none"; readonly loading: boolean; readonly remainingMs: number | null }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "aborted" };

export interface PlaceRequest {
  readonly call: Call;
  readonly ports: readonly number[];
  /** How long to wait for a server that is coming up, in milliseconds. */
  readonly waitMs: number;
  /** Whether to wait for a server even without a sign that it is coming up: no other server can serve the call. */
  readonly patient: boolean;
  /** The deadline of the whole call. */
  readonly deadlineAt: number;
  /** Whether a server has already had the call: it then continues even if its key is revoked. */
  readonly begun: boolean;
  readonly signal: AbortSignal;
  /** Called if the call must wait. */
  readonly onWait: () => void;
}

type Turn =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** A usable server has appeared or gone: choose again. */
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
  /** Calls that wait for a server to come up. */
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
   * Counts a call against its key's limit on this box, waiting or running.
   * @returns a function that releases the count, or the refusal if the limit is reached
   */
  admit(call: Pick<Call, "keyId" | "concurrent" | "wantedPort">): (() => void) | Refusal {
    const { keyId, concurrent, wantedPort } = call;
    const leave = this.#keys.enter(keyId, concurrent);
    return leave ?? tooManyCalls(concurrent ?? 0, this.#admission.serviceMs(wantedPort));
  }

  /** Refuses a key's waiting calls; running ones continue. @returns how many were queued */
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

  /** Tokens of the calls that run on a port, as far as observed. */
  decoding(port: number): number {
    let tokens = 0;
    for (const running of this.#running.get(port) ?? []) tokens += running.decoded() ?? 0;
    return tokens;
  }

  /** Handles a change of a server's usability or slots. */
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

  /** Reports a stall to all calls of a server, or to the one in a slot. */
  stalled(port: number, slot: number | null): void {
    for (const running of this.#running.get(port) ?? []) {
      if (slot === null || running.slot === slot) running.stalled();
    }
  }

  /** Finds a slot for a call; waits as long as the call may. */
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

  /** The ports that can take calls; only the preferred ones, if there are any. */
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

  /** The common case: a free slot and no waiting call. */
  #pass({ call, deadlineAt }: PlaceRequest, ports: readonly number[]): Grant | null {
    const { scope, choices } = call;
    const now = this.#clock();
    for (const port of ports) {
      const server = this.#servers.get(port);
      const free = server?.available ?? 0;
      if (server === undefined || free < choices || !this.#admission.mayPass(port, deadlineAt, now)) continue;
      const lease = server.acquire({ scope, choices, pinned: true });
      // The call must be sent alone, and the earlier calls haven't been seen yet: it waits for its turn.
      if (lease === null) continue;
      this.#admission.passed(port, choices, free);
      return this.#grant(server, lease, choices);
    }
    return null;
  }

  async #turn(request: PlaceRequest, ports: readonly number[]): Promise<Turn | Refusal> {
    const { call, deadlineAt, signal } = request;
    // An id of our own: two calls with the same request id must stay distinct in admission.
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

  /** Gives a port's free slots to the next calls. */
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
