// The agent's side of the link to the edge, as a pure state machine: when it dials, says hello, tells what the box is
// like and what its calls cost, notices that nobody listens any more, and goes. Clock and randomness come in; what
// it wants done comes out. Nothing here is ever waited for by a call.
import { backoffMs, jittered, type Backoff } from "../../shared/backoff.ts";
import {
  LINK_PING_MS,
  LINK_PONG_MS,
  LINK_RETRY_MAX_MS,
  LINK_RETRY_MIN_MS,
  SNAPSHOT_MAX_MS,
  SNAPSHOT_MIN_MS,
} from "../../shared/limits.ts";
import { LINK_CLOSE, type EdgeFrame, type Snapshot } from "../../shared/wire.ts";
import { changedSince, type BoxSnapshot } from "./snapshot.ts";
import { UsageFlow, type UsageCommand } from "./usage-sender.ts";
import type { UsageBatch } from "../usage/journal.ts";

/** Connecting, TLS and the upgrade may take so long, milliseconds. */
export const DIAL_MS = 10_000;

const REDIAL: Backoff = { minMs: LINK_RETRY_MIN_MS, maxMs: LINK_RETRY_MAX_MS };

/** A link that stayed open this long was a good one: what broke it is new, so the back-off starts over. */
export const LIVED_MS = 30_000;

/** Pause after the edge refused the link: it keeps refusing until an operator changes something. */
export const REFUSED_RETRY_MS = 60_000;

/** How a link came to its end, or never came to be. */
export type LinkEnd =
  /** Nobody there, or the connection broke. `cause`: the system's word for it. */
  | { readonly kind: "unreachable"; readonly cause: string }
  /** The edge answered with this status in place of a link. */
  | { readonly kind: "refused"; readonly status: number }
  /** The edge closed it, with this code. */
  | { readonly kind: "closed"; readonly code: number }
  /** Nothing came back in time: the way is broken, and nobody said so. */
  | { readonly kind: "silent" };

export type LinkCommand =
  | { readonly kind: "dial"; readonly dial: number }
  /** Give this connection up: nothing more is to be heard of it. */
  | { readonly kind: "drop"; readonly dial: number }
  | { readonly kind: "hello" }
  | { readonly kind: "ping" }
  /** Look at the box; `looked` takes what is seen. */
  | { readonly kind: "look" }
  | { readonly kind: "snapshot"; readonly frame: Snapshot }
  | UsageCommand
  | { readonly kind: "bye" }
  | { readonly kind: "word"; readonly frame: Exclude<EdgeFrame, { t: "ack" }> }
  /** For the log, once a change: the link is there (null), or why it isn't. */
  | { readonly kind: "tell"; readonly end: LinkEnd | null }
  /** It has said all it will say. */
  | { readonly kind: "finished" };

interface Open {
  readonly kind: "open";
  readonly dial: number;
  readonly since: number;
  lastSeenAt: number;
  /** When it was asked last whether the way is whole; null once that was answered. */
  pingedAt: number | null;
  pingAt: number;
  lookAt: number;
  /** What the edge was last told of the box, and when. */
  told: { readonly snapshot: BoxSnapshot; readonly at: number } | null;
}

type Phase =
  | { readonly kind: "idle" | "over" }
  | { readonly kind: "waiting"; readonly until: number }
  | { readonly kind: "dialling"; readonly dial: number; readonly since: number }
  | Open;

export class LinkCore {
  readonly #random: () => number;
  readonly #usage = new UsageFlow();
  #phase: Phase = { kind: "idle" };
  #dials = 0;
  #failures = 0;
  #snapshots = 0;
  /** What the log knows; undefined before anything was told. */
  #told: string | undefined;
  #finishBy: number | null = null;

  constructor(random: () => number) {
    this.#random = random;
  }

  get isOpen(): boolean {
    return this.#phase.kind === "open";
  }

  /** How long something has waited for its acknowledgement, milliseconds; null where nothing does. */
  usageBehindMs(now: number): number | null {
    const since = this.#usage.behindSince;
    return since === null ? null : Math.max(0, now - since);
  }

  start(now: number): LinkCommand[] {
    return this.#phase.kind === "idle" ? this.#dial(now) : [];
  }

  opened(dial: number, now: number): LinkCommand[] {
    if (this.#phase.kind !== "dialling" || this.#phase.dial !== dial) return [];
    this.#phase = {
      kind: "open",
      dial,
      since: now,
      lastSeenAt: now,
      pingedAt: null,
      pingAt: now + LINK_PING_MS,
      lookAt: now + SNAPSHOT_MIN_MS,
      told: null,
    };
    return [...this.#tell(null), { kind: "hello" }, { kind: "look" }, ...this.#usage.linked(now)];
  }

  /** The connection is gone, or never came to be. */
  ended(dial: number, end: LinkEnd, now: number): LinkCommand[] {
    const phase = this.#phase;
    if ((phase.kind !== "dialling" && phase.kind !== "open") || phase.dial !== dial) return [];
    return this.#lost(end, now);
  }

  /** Something came from the edge: the answer to a ping, or any frame. */
  heard(dial: number, now: number): void {
    if (this.#phase.kind !== "open" || this.#phase.dial !== dial) return;
    this.#phase.lastSeenAt = now;
    this.#phase.pingedAt = null;
  }

  frame(dial: number, frame: EdgeFrame, now: number): LinkCommand[] {
    if (this.#phase.kind !== "open" || this.#phase.dial !== dial) return [];
    this.heard(dial, now);
    if (frame.t !== "ack") return [{ kind: "word", frame }];
    return this.#after(this.#usage.acked(frame.epoch, frame.upTo, now));
  }

  /** What the box is like now, as it was asked for. */
  looked(snapshot: BoxSnapshot, now: number): LinkCommand[] {
    const phase = this.#phase;
    if (phase.kind !== "open") return [];
    const { told } = phase;
    if (told !== null && now - told.at < SNAPSHOT_MAX_MS && !changedSince(told.snapshot, snapshot)) return [];
    phase.told = { snapshot, at: now };
    this.#snapshots += 1;
    return [{ kind: "snapshot", frame: { t: "snapshot", seq: this.#snapshots, ...snapshot } }];
  }

  /** A call ended, and the journal was told. */
  noted(now: number): void {
    this.#usage.noted(now);
  }

  read(batch: UsageBatch | null, oldestAgeMs: number, now: number): LinkCommand[] {
    return this.#after(this.#usage.read(batch, oldestAgeMs, now));
  }

  acknowledged(now: number): LinkCommand[] {
    return this.#after(this.#usage.acknowledged(now));
  }

  /** Nothing new will happen on this box: tell what is left, within a bound, and say bye. */
  finish(now: number, withinMs: number): LinkCommand[] {
    if (this.#finishBy !== null || this.#phase.kind === "over") return [];
    this.#finishBy = now + withinMs;
    if (this.#phase.kind !== "open") return this.#end();
    return [{ kind: "look" }, ...this.#after(this.#usage.finish(now))];
  }

  /** When `tick` has something to do next. */
  nextAt(): number {
    const phase = this.#phase;
    switch (phase.kind) {
      case "idle":
      case "over":
        return Infinity;
      case "waiting":
        return phase.until;
      case "dialling":
        return phase.since + DIAL_MS;
      case "open": {
        const pong = phase.pingedAt === null ? phase.pingAt : phase.pingedAt + LINK_PONG_MS;
        return Math.min(pong, phase.lookAt, this.#usage.nextAt(), this.#finishBy ?? Infinity);
      }
    }
  }

  tick(now: number): LinkCommand[] {
    const phase = this.#phase;
    if (now < this.nextAt()) return [];
    if (phase.kind === "waiting") return this.#dial(now);
    if (phase.kind === "dialling")
      return [{ kind: "drop", dial: phase.dial }, ...this.#lost({ kind: "silent" }, now)];
    if (phase.kind !== "open") return [];
    if (this.#finishBy !== null && now >= this.#finishBy) return this.#end();
    if (phase.pingedAt !== null && now - phase.pingedAt >= LINK_PONG_MS)
      return [{ kind: "drop", dial: phase.dial }, ...this.#lost({ kind: "silent" }, now)];
    const commands: LinkCommand[] = [];
    if (phase.pingedAt === null && now >= phase.pingAt) {
      phase.pingedAt = now;
      phase.pingAt = now + LINK_PING_MS;
      commands.push({ kind: "ping" });
    }
    if (now >= phase.lookAt) {
      phase.lookAt = now + SNAPSHOT_MIN_MS;
      commands.push({ kind: "look" });
    }
    return [...commands, ...this.#after(this.#usage.tick(now))];
  }

  #dial(now: number): LinkCommand[] {
    const dial = ++this.#dials;
    this.#phase = { kind: "dialling", dial, since: now };
    return [{ kind: "dial", dial }];
  }

  #lost(end: LinkEnd, now: number): LinkCommand[] {
    const lived = this.#phase.kind === "open" && now - this.#phase.since >= LIVED_MS;
    this.#failures = lived ? 1 : this.#failures + 1;
    this.#usage.cut();
    this.#phase = { kind: "waiting", until: now + this.#pauseAfter(end) };
    return [...this.#tell(end), ...(this.#finishBy === null ? [] : this.#end())];
  }

  #pauseAfter(end: LinkEnd): number {
    // After a close with one of these codes, an immediate dial would be closed again.
    const failures = end.kind === "closed" && DISMISSALS.has(end.code) ? Infinity : this.#failures;
    const pause = isRefusal(end) ? REFUSED_RETRY_MS : backoffMs(REDIAL, failures);
    return jittered(pause, this.#random());
  }

  #after(commands: readonly UsageCommand[]): LinkCommand[] {
    return this.#usage.finished ? [...commands, ...this.#end()] : [...commands];
  }

  #end(): LinkCommand[] {
    const phase = this.#phase;
    if (phase.kind === "over") return [];
    this.#phase = { kind: "over" };
    this.#usage.cut();
    const drop: LinkCommand[] =
      phase.kind === "dialling"
        ? [{ kind: "drop", dial: phase.dial }]
        : phase.kind === "open"
          ? [{ kind: "bye" }]
          : [];
    return [...drop, { kind: "finished" }];
  }

  #tell(end: LinkEnd | null): LinkCommand[] {
    const words = JSON.stringify(end);
    if (words === this.#told) return [];
    this.#told = words;
    return [{ kind: "tell", end }];
  }
}

const DISMISSALS: ReadonlySet<number> = new Set(
  Object.entries(LINK_CLOSE).flatMap(([why, code]) => (why === "replaced" ? [] : [code])),
);

/** The edge is there and won't have this box, which trying again doesn't change; too many or too slow, it does. */
export const isRefusal = (end: LinkEnd): boolean =>
  end.kind === "refused" && end.status >= 400 && end.status < 500 && end.status !== 408 && end.status !== 429;
