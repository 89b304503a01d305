// Finds a server for a call: gives it room at once, queues it in admission's order, or returns immediately if waiting can't
// help. A call that waits for a server to load waits in the same queue. Room is given and waiting calls end only here.
import type { Call } from "../../shared/call-headers.ts";
import type { DIALECTS } from "../../shared/dialects.ts";
import { Admission, type AdmissionCall, type PortView } from "../queue/admission.ts";
import type { Refusal } from "../../shared/errors.ts";
import { TOKEN_REQUESTS_PER_SERVER } from "../../shared/limits.ts";
import { KeyConcurrency } from "../queue/key-concurrency.ts";
import type { SlotReading } from "../probes/llama.ts";
import type { LiveServer } from "./server.ts";
import { queueRefusal, REVOKED, tooManyCalls, WAITED_TOO_LONG } from "../queue/refusals.ts";
import { RevokedKeys } from "../queue/revoked-keys.ts";
import type { EndSignal } from "./end-signal.ts";
import { RunningCall, type Grant } from "./running-call.ts";
import { TokenCall } from "./token-call.ts";

/** How a request takes slots, see `DIALECTS`. */
export type SlotUse = (typeof DIALECTS)[keyof typeof DIALECTS]["slots"];

export type Placement =
  | { readonly kind: "granted"; readonly grant: Grant }
  /** None of the ports can take the call, and waiting can't help or didn't. `remainingMs`: until one is loaded. */
  | { readonly kind: "none"; readonly loading: boolean; readonly remainingMs: number | null }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "aborted" };

/** What a call waits for; `aboutMs`: for how long, null if unknown. */
export type WaitsFor =
  | { readonly kind: "turn"; readonly place: number; readonly aboutMs: number | null }
  /** None of its servers is up. `loading`: whether one is coming up. */
  | {
      readonly kind: "server";
      readonly model: string;
      readonly loading: boolean;
      readonly aboutMs: number | null;
    };

export interface PlaceRequest {
  readonly call: Call;
  readonly ports: readonly number[];
  readonly slots: SlotUse;
  /** How long to wait while no server is up but one is coming up. */
  readonly waitMs: number;
  /** Whether to wait for a server even without a sign that it is coming up: no other server can serve the call. */
  readonly patient: boolean;
  /** The deadline of the whole call. */
  readonly deadlineAt: number;
  /** Whether a server has already had the call: it then continues even if its key is revoked or the queue is full. */
  readonly begun: boolean;
  readonly signal: EndSignal;
  /** Called if the call must wait; the function returns what it waits for at that moment. */
  readonly onWait: (waitsFor: () => WaitsFor) => void;
}

interface Waiter {
  readonly id: string;
  readonly queue: Admission;
  readonly request: PlaceRequest;
  queuedFor: readonly number[];
  /** Since when none of its servers has been up; null if one is. */
  noneUpSince: number | null;
  readonly resolve: (placement: Placement) => void;
}

export class Dispatch {
  readonly #servers: ReadonlyMap<number, LiveServer>;
  readonly #clock: () => number;
  /** The queue for the servers' slots, and the one for their token routes, which take none. */
  readonly #slots: Admission;
  readonly #tokens: Admission;
  readonly #running = new Map<number, Set<RunningCall>>();
  readonly #tokenCalls = new Map<number, Set<TokenCall>>();
  readonly #waiters = new Map<string, Waiter>();
  /** What waiting depends on, by port, at the last change. */
  readonly #states = new Map<number, string>();
  readonly #keys = new KeyConcurrency();
  readonly #revoked = new RevokedKeys();
  #queuedSoFar = 0;

  /** @param sharePerKey the share of a queue's places that one key may take. */
  constructor(servers: ReadonlyMap<number, LiveServer>, sharePerKey: number, clock: () => number) {
    this.#servers = servers;
    this.#clock = clock;
    this.#slots = new Admission({ sharePerKey, freeSlots: (port) => servers.get(port)?.available ?? 0 });
    this.#tokens = new Admission({ sharePerKey, freeSlots: (port) => this.#tokenRoom(port) });
    for (const [port, { upstream }] of servers) {
      this.#slots.resize(port, upstream.server.slots);
      this.#tokens.resize(port, TOKEN_REQUESTS_PER_SERVER);
      this.#running.set(port, new Set());
      this.#tokenCalls.set(port, new Set());
    }
  }

  /** Counts the calls that wait for a slot. */
  waiting(): ReturnType<Admission["waiting"]> {
    return this.#slots.waiting();
  }

  /**
   * Counts a call against its key's limit on this box, waiting or running.
   * @returns a function that releases the count, or the refusal if the limit is reached
   */
  admit(call: Pick<Call, "keyId" | "concurrent" | "wantedPort">): (() => void) | Refusal {
    const { keyId, concurrent, wantedPort } = call;
    const leave = this.#keys.enter(keyId, concurrent);
    return leave ?? tooManyCalls(concurrent ?? 0, this.#slots.serviceMs(wantedPort));
  }

  /** Refuses a key's waiting calls; running ones continue. @returns how many were queued */
  revoke(keyId: string): number {
    this.#revoked.note(keyId, this.#clock());
    const queued = [...this.#waiters.values()].filter(
      ({ request }) => request.call.keyId === keyId && !request.begun,
    );
    for (const waiter of queued) this.#end(waiter, { kind: "refused", refusal: REVOKED });
    return queued.length;
  }

  /** One port's queue for its slots, as admission sees it. */
  queueOf(port: number): PortView | null {
    return this.#slots.portView(port);
  }

  /** Tokens of the calls that run on a port, as far as observed. */
  decoding(port: number): number {
    let tokens = 0;
    for (const running of this.#running.get(port) ?? []) tokens += running.usage()?.decoded ?? 0;
    return tokens;
  }

  /** Handles a change of a server's usability or slots. */
  changed(server: LiveServer): void {
    const { port } = server;
    const { total } = server.slots;
    if (total > 0) this.#slots.resize(port, total);
    const { usable, preferred, doubted, waitable } = server;
    const state = [usable, preferred, doubted, waitable].join();
    // Most changes are of slots alone.
    if (state !== this.#states.get(port)) {
      this.#states.set(port, state);
      for (const waiter of this.#waiters.values()) {
        if (waiter.request.ports.includes(port)) this.#follow(waiter);
      }
    }
    this.#pump(this.#slots, port);
    this.#pump(this.#tokens, port);
  }

  /** Reports a stall to all calls of a server, or to the one in a slot. */
  stalled(port: number, slot: number | null): void {
    if (slot === null) for (const call of this.#tokenCalls.get(port) ?? []) call.stalled();
    for (const running of this.#running.get(port) ?? []) {
      if (slot === null || running.slot === slot) running.stalled();
    }
  }

  /** Reports an answered reading of a server's `/slots` to its calls. */
  shown(port: number, readings: readonly SlotReading[], askedAt: number): void {
    for (const running of this.#running.get(port) ?? []) running.shown(readings, askedAt);
  }

  /** Finds room for a call; waits as long as the call may. */
  async place(request: PlaceRequest): Promise<Placement> {
    const { call, begun, signal, deadlineAt } = request;
    if (signal.aborted) return { kind: "aborted" };
    const now = this.#clock();
    if (!begun && this.#revoked.has(call.keyId, now)) return { kind: "refused", refusal: REVOKED };
    const ports = this.#portsFor(request);
    if (ports.length === 0) return this.#none(request);
    const queue = request.slots === "none" ? this.#tokens : this.#slots;
    const choices = this.#choicesOf(request);
    // The common case: a free slot and no waiting call.
    for (const port of ports) {
      const mayPass = queue.mayPass(port, { choices, deadlineAt }, now);
      const server = mayPass ? this.#servers.get(port) : undefined;
      const grant = server === undefined ? null : this.#acquire(server, request);
      if (grant !== null) return { kind: "granted", grant };
    }
    return this.#wait(request, queue, ports);
  }

  /**
   * The ports for which a call may wait, the best first: those that are up, ready ones before slow ones; else those that
   * are coming up. Empty if it isn't worth to wait.
   */
  #portsFor({ call, ports, waitMs, patient }: PlaceRequest): number[] {
    const servers = ports.flatMap((port) => this.#servers.get(port) ?? []);
    const up = servers.filter((server) => server.usable);
    const ready = up.filter((server) => server.preferred);
    const coming = servers.filter((server) => (waitMs > 0 ? patient || server.waitable : server.doubted));
    const best = ready.length > 0 ? ready : up.length > 0 ? up : coming;
    // A conversation's next turn goes to the server that still has the earlier ones in a slot's cache.
    const holding = best.filter((server) => call.scope !== null && server.holdsCache(call.scope));
    return [...new Set([...holding, ...best])].map(({ port }) => port);
  }

  #isUp(ports: readonly number[]): boolean {
    return ports.some((port) => this.#servers.get(port)?.usable === true);
  }

  #isDoubted(ports: readonly number[]): boolean {
    return ports.some((port) => this.#servers.get(port)?.doubted === true);
  }

  #none({ ports }: PlaceRequest): Placement & { readonly kind: "none" } {
    const servers = ports.flatMap((port) => this.#servers.get(port) ?? []);
    const remaining = servers.flatMap((server) => server.remainingLoadMs ?? []);
    return {
      kind: "none",
      loading: servers.some((server) => server.waitable),
      remainingMs: remaining.length === 0 ? null : Math.min(...remaining),
    };
  }

  #wait(request: PlaceRequest, queue: Admission, ports: readonly number[]): Promise<Placement> | Placement {
    const { call, deadlineAt, begun, signal, waitMs } = request;
    // An id of our own: two calls with the same request id must stay distinct in admission.
    const id = `${call.requestId}~${this.#queuedSoFar++}`;
    const { keyId, scope, priority } = call;
    const choices = this.#choicesOf(request);
    const asked: AdmissionCall = { id, keyId, scope, priority, ports, choices, deadlineAt, admitted: begun };
    const now = this.#clock();
    const isUp = this.#isUp(ports);
    const isLoading = !isUp && !this.#isDoubted(ports);
    const none = this.#none(request);
    const offer = queue.offer(asked, now, isLoading ? (none.remainingMs ?? waitMs) : 0);
    if (offer.kind === "refused") {
      // The reason is the load, so another model may serve the call.
      if (isLoading && offer.retryAfterMs !== null) return { ...none, remainingMs: offer.retryAfterMs };
      return { kind: "refused", refusal: queueRefusal(offer.reason, offer.retryAfterMs) };
    }
    return new Promise<Placement>((resolve) => {
      const onAbort = (): void => this.#end(waiter, { kind: "aborted" });
      const waiter: Waiter = {
        id,
        queue,
        request,
        queuedFor: ports,
        noneUpSince: isUp ? null : now,
        resolve: (placement) => {
          signal.removeEventListener("abort", onAbort);
          resolve(placement);
        },
      };
      this.#waiters.set(id, waiter);
      for (const port of ports) this.#pump(queue, port);
      if (!this.#waiters.has(id)) return;
      signal.addEventListener("abort", onAbort, { once: true });
      request.onWait(() => this.#waitsFor(waiter));
    });
  }

  #waitsFor({ id, queue, request, queuedFor }: Waiter): WaitsFor {
    const [port] = queuedFor;
    const server = port === undefined ? undefined : this.#servers.get(port);
    if (server !== undefined && !this.#isUp(queuedFor)) {
      const { loading, remainingMs: aboutMs } = this.#none(request);
      return { kind: "server", model: server.upstream.server.model, loading, aboutMs };
    }
    return { kind: "turn", place: 1, aboutMs: null, ...queue.waitOf(id) };
  }

  /** Lets a waiting call wait for other servers if those that are up have changed; ends it if none is left. */
  #follow(waiter: Waiter): void {
    const { request, queue, queuedFor } = waiter;
    const ports = this.#portsFor(request);
    const now = this.#clock();
    waiter.noneUpSince = this.#isUp(ports) ? null : (waiter.noneUpSince ?? now);
    const isLate = waiter.noneUpSince !== null && now - waiter.noneUpSince >= request.waitMs;
    if (ports.length === 0 || (isLate && !this.#isDoubted(ports)))
      return this.#end(waiter, this.#none(request));
    if (ports.length === queuedFor.length && ports.every((port) => queuedFor.includes(port))) return;
    waiter.queuedFor = ports;
    queue.move(waiter.id, ports);
    for (const port of ports) this.#pump(queue, port);
  }

  #end(waiter: Waiter, placement: Placement): void {
    waiter.queue.leave(waiter.id);
    this.#waiters.delete(waiter.id);
    waiter.resolve(placement);
  }

  /** Ends the calls whose deadline has passed, or that have waited long enough for a server to come up. */
  check(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of this.#waiters.values()) if (waiter.noneUpSince !== null) this.#follow(waiter);
    const now = this.#clock();
    for (const id of [...this.#slots.expire(now), ...this.#tokens.expire(now)]) {
      const waiter = this.#waiters.get(id);
      if (waiter !== undefined) this.#end(waiter, { kind: "refused", refusal: WAITED_TOO_LONG });
    }
  }

  /** Gives a port's room to the next calls. */
  #pump(queue: Admission, port: number): void {
    const server = this.#servers.get(port);
    if (server === undefined) return;
    for (;;) {
      const next = queue.head(port, this.#clock());
      const waiter = next === null ? undefined : this.#waiters.get(next.id);
      const grant = waiter === undefined ? null : this.#acquire(server, waiter.request);
      if (waiter === undefined || grant === null) return;
      queue.take(waiter.id, port);
      this.#waiters.delete(waiter.id);
      waiter.resolve({ kind: "granted", grant });
    }
  }

  /** Null if the server can't give the room now: the call must be sent alone, and waits for its turn. */
  #acquire(server: LiveServer, request: PlaceRequest): Grant | null {
    const { port } = server;
    const { slots, call } = request;
    const since = this.#clock();
    if (slots === "none") return this.#tokenCall(server, since);
    const choices = this.#choicesOf(request);
    const scope = slots === "pinned" ? call.scope : null;
    // A short call takes any idle slot: no harm on a server that has only such calls, as long as they are counted.
    const pinned = slots === "pinned" || (slots === "short" && !server.chats);
    const lease = server.acquire({ scope, choices, pinned });
    if (lease === null) return null;
    const served = (): void => this.#slots.served(port, this.#clock() - since, choices);
    return new RunningCall(server, lease, this.#running.get(port) ?? new Set(), served, since);
  }

  #tokenCall(server: LiveServer, since: number): TokenCall {
    const { port } = server;
    const running = this.#tokenCalls.get(port);
    const call = new TokenCall(server, (isServed) => {
      running?.delete(call);
      if (isServed) this.#tokens.served(port, this.#clock() - since, 1);
      this.#pump(this.#tokens, port);
    });
    running?.add(call);
    return call;
  }

  /** Requests that a server's token routes can take now. */
  #tokenRoom(port: number): number {
    if (this.#servers.get(port)?.usable !== true) return 0;
    return TOKEN_REQUESTS_PER_SERVER - (this.#tokenCalls.get(port)?.size ?? 0);
  }

  /**
   * What a call takes of a server's room at once. A call of embeddings or reranking gives a slot to each of its texts in
   * turn, so it can't take more than there are.
   */
  #choicesOf({ slots, call, ports }: PlaceRequest): number {
    if (slots === "none") return 1;
    if (slots !== "short" || call.choices === 1) return call.choices;
    const most = Math.max(...ports.map((port) => this.#servers.get(port)?.slots.total ?? 0), 1);
    return Math.min(call.choices, most);
  }
}
