// The two kinds of room that servers give to calls: their slots, and a few requests at a time to their token routes
// (`/tokenize` and the like), which take no slot. Each lane has its own queue; dispatch.ts fills both.
import type { Call } from "../../shared/call-headers.ts";
import { TOKEN_REQUESTS_PER_SERVER } from "../../shared/limits.ts";
import { Admission } from "../queue/admission.ts";
import { RunningCall, type Grant } from "./running-call.ts";
import type { LiveServer } from "./server.ts";
import type { Upstream } from "./upstream-sockets.ts";

export type Servers = ReadonlyMap<number, LiveServer>;

export interface LaneSettings {
  readonly servers: Servers;
  /** See `AdmissionSettings.sharePerKey`. */
  readonly sharePerKey: number;
  /** Called when a server has room again. */
  readonly onRoom: (port: number) => void;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
}

export interface Lane {
  readonly admission: Admission;
  /** Sets the number of a server's slots. */
  resize(port: number, slots: number): void;
  /** Room for a call; null if the server can't give it now. */
  acquire(server: LiveServer, call: Pick<Call, "scope" | "choices">): Grant | null;
}

export class SlotLane implements Lane {
  readonly admission: Admission;
  readonly #clock: () => number;
  readonly #running = new Map<number, Set<RunningCall>>();

  constructor({ servers, sharePerKey, clock }: LaneSettings) {
    this.#clock = clock;
    this.admission = new Admission({
      sharePerKey,
      freeSlots: (port) => servers.get(port)?.available ?? 0,
    });
  }

  resize(port: number, slots: number): void {
    this.admission.resize(port, slots);
  }

  acquire(server: LiveServer, { scope, choices }: Pick<Call, "scope" | "choices">): Grant | null {
    const lease = server.acquire({ scope, choices, pinned: true });
    // The call must be sent alone, and the earlier calls haven't been seen yet: it waits for its turn.
    if (lease === null) return null;
    const { port } = server;
    const since = this.#clock();
    const served = (): void => this.admission.served(port, this.#clock() - since, choices);
    return new RunningCall(server, lease, this.running(port), served, since);
  }

  /** The calls that run on a server. */
  running(port: number): Set<RunningCall> {
    const running = this.#running.get(port) ?? new Set<RunningCall>();
    this.#running.set(port, running);
    return running;
  }
}

export class TokenLane implements Lane {
  readonly admission: Admission;
  readonly #settings: LaneSettings;
  readonly #running = new Map<number, number>();

  constructor(settings: LaneSettings) {
    const { servers, sharePerKey } = settings;
    this.#settings = settings;
    this.admission = new Admission({
      sharePerKey,
      freeSlots: (port) =>
        servers.get(port)?.usable === true ? TOKEN_REQUESTS_PER_SERVER - this.#runningOn(port) : 0,
    });
  }

  resize(port: number): void {
    this.admission.resize(port, TOKEN_REQUESTS_PER_SERVER);
  }

  acquire(server: LiveServer): Grant {
    const { port } = server;
    const since = this.#settings.clock();
    this.#running.set(port, this.#runningOn(port) + 1);
    return new TokenCall(server, (isServed) => {
      this.#running.set(port, this.#runningOn(port) - 1);
      if (isServed) this.admission.served(port, this.#settings.clock() - since, 1);
      this.#settings.onRoom(port);
    });
  }

  #runningOn(port: number): number {
    return this.#running.get(port) ?? 0;
  }
}

/** A request to a token route: it takes no slot, so it proves nothing about decoding, and nothing remains of it. */
class TokenCall implements Grant {
  readonly slot = null;
  readonly cachePrompt = false;
  readonly #server: LiveServer;
  #onEnd: ((isServed: boolean) => void) | null;

  constructor(server: LiveServer, onEnd: (isServed: boolean) => void) {
    this.#server = server;
    this.#onEnd = onEnd;
  }

  get upstream(): Upstream {
    return this.#server.upstream;
  }

  progressed(): void {}

  decoded(): null {
    return null;
  }

  watch(): void {}

  isUp(): Promise<boolean> {
    return this.#server.answersHealth();
  }

  finish(): void {
    this.#end(true);
  }

  refused(fate: "refused" | "loading" | null): void {
    if (fate !== null) this.#server.observe({ kind: "call", fate });
    this.#end(false);
  }

  abandon(fate: "broken" | "stalled" | null): Promise<void> {
    if (fate === "broken") this.#server.observe({ kind: "call", fate });
    this.#end(false);
    return Promise.resolve();
  }

  close(): void {
    this.#end(false);
  }

  #end(isServed: boolean): void {
    const onEnd = this.#onEnd;
    this.#onEnd = null;
    onEnd?.(isServed);
  }
}
