// A call's hold on slots of a server, from the moment it has them to its end: what it learns of its server while it
// runs, and what its end tells that server.
import type { CallFate } from "../health/record.ts";
import type { LiveServer } from "./server.ts";
import type { SlotLease } from "../slots/lease.ts";
import type { Upstream } from "./upstream-sockets.ts";

/** Tokens of a running call are told to its server's health this often, milliseconds. */
const TOKENS_TOLD_MS = 1_000;

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

export class RunningCall implements Grant {
  readonly #server: LiveServer;
  readonly #lease: SlotLease;
  readonly #others: Set<RunningCall>;
  readonly #onServed: () => void;
  /** What the last look saw in its slot was the call before. */
  readonly #taskBefore: number | null | undefined;
  #onStall: (() => void) | null = null;
  #toldAt: number;

  /**
   * @param others the calls that run on this server; this one is among them until its end.
   * @param onServed told where it ends well.
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
    this.#taskBefore = lease.slot === null ? null : server.lookedIn(lease.slot)?.task;
    this.#toldAt = now;
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

  progressed(now: number): void {
    if (now - this.#toldAt < TOKENS_TOLD_MS) return;
    this.#toldAt = now;
    this.#server.hear({ kind: "tokens" });
  }

  decoded(): number | null {
    const seen = this.slot === null ? null : this.#server.lookedIn(this.slot);
    return seen === null || seen.task === this.#taskBefore ? null : seen.decoded;
  }

  watch(onStall: () => void): void {
    this.#onStall = onStall;
  }

  /** Its server stands still, or the slot it has. */
  stalled(): void {
    this.#onStall?.();
  }

  finish(fate: Extract<CallFate, { readonly fate: "answered" }>): void {
    this.#others.delete(this);
    this.#onServed();
    this.#server.hear({ kind: "call", ...fate });
    this.#server.finish(this.#lease);
  }

  refused(fate: "refused" | "loading" | null): void {
    this.#others.delete(this);
    if (fate !== null) this.#server.hear({ kind: "call", fate });
    this.#server.refused(this.#lease);
  }

  abandon(fate: "broken" | "stalled" | null): Promise<void> {
    this.#others.delete(this);
    const proved = this.#server.abandon(this.#lease);
    if (fate !== null) this.#server.hear({ kind: "call", fate });
    return proved;
  }
}
