// The agent's side of the link as a pure state machine: when to dial, send snapshots and usage, detect a dead
// connection, redial and finish. Clock and randomness are passed in; `link.ts` performs the returned actions. No call
// ever waits for it. The numbers in the comments refer to design.md.
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
import type { UsageBatch } from "../usage/journal.ts";
import type { EdgeCommand } from "./edge-commands.ts";
import { changedSince, type BoxSnapshot } from "./snapshot.ts";
import { UsageSender, type UsageAction } from "./usage-sender.ts";

/** Limit for connecting, TLS and the upgrade together. */
export const DIAL_TIMEOUT_MS = 10_000;

const REDIAL: Backoff = { minMs: LINK_RETRY_MIN_MS, maxMs: LINK_RETRY_MAX_MS };

/** (3) A link that stayed open this long was stable: its end has a new cause, so the back-off starts over. */
export const STABLE_MS = 30_000;

/** (3) Pause after the edge refused the link: it refuses until an operator changes something. */
export const REFUSED_RETRY_MS = 60_000;

/** Why a link ended, or was never opened. */
export type LinkEnd =
  /** The edge can't be reached, or the connection broke. `cause`: the system's error code. */
  | { readonly kind: "unreachable"; readonly cause: string }
  /** The edge answered the upgrade with this status. */
  | { readonly kind: "refused"; readonly status: number }
  /** The edge closed it with this code. */
  | { readonly kind: "closed"; readonly code: number }
  /** No answer in time, without an error of the connection. */
  | { readonly kind: "silent" };

export type LinkAction =
  | { readonly kind: "dial"; readonly dial: number }
  /** Terminate this connection; its later events are ignored. */
  | { readonly kind: "disconnect"; readonly dial: number }
  | { readonly kind: "send-hello" }
  | { readonly kind: "send-ping" }
  /** Take a snapshot of the box; pass it to `snapshotTaken`. */
  | { readonly kind: "take-snapshot" }
  | { readonly kind: "send-snapshot"; readonly frame: Snapshot }
  | UsageAction
  | { readonly kind: "send-bye" }
  | { readonly kind: "command"; readonly command: EdgeCommand }
  /** Log that the link is open (null) or why it isn't; once for each change. */
  | { readonly kind: "log"; readonly end: LinkEnd | null }
  /** No further action follows. */
  | { readonly kind: "finished" };

interface Open {
  readonly kind: "open";
  readonly dial: number;
  readonly openedAt: number;
  /** Time of the ping that isn't answered yet; null if there is none. */
  pingedAt: number | null;
  nextPingAt: number;
  nextSnapshotAt: number;
  /** The last snapshot that was sent. */
  sent: { readonly snapshot: BoxSnapshot; readonly at: number } | null;
}

type State =
  | { readonly kind: "idle" | "finished" }
  | { readonly kind: "waiting"; readonly until: number }
  | { readonly kind: "dialling"; readonly dial: number; readonly startedAt: number }
  | Open;

export class LinkStateMachine {
  readonly #random: () => number;
  readonly #usage = new UsageSender();
  #state: State = { kind: "idle" };
  /** (2) Numbers the connections: an event of an earlier one is ignored. */
  #dials = 0;
  #failures = 0;
  #snapshots = 0;
  /** The last end that was logged, as JSON; undefined before the first. */
  #logged: string | undefined;
  #finishBy: number | null = null;

  constructor(random: () => number) {
    this.#random = random;
  }

  get isOpen(): boolean {
    return this.#state.kind === "open";
  }

  /** Age of the oldest call that isn't acknowledged, milliseconds; null if all are. */
  usageBehindMs(now: number): number | null {
    const at = this.#usage.oldestPendingAt;
    return at === null ? null : Math.max(0, now - at);
  }

  start(now: number): LinkAction[] {
    return this.#state.kind === "idle" ? this.#dial(now) : [];
  }

  opened(dial: number, now: number): LinkAction[] {
    if (this.#state.kind !== "dialling" || this.#state.dial !== dial) return [];
    this.#state = {
      kind: "open",
      dial,
      openedAt: now,
      pingedAt: null,
      nextPingAt: now + LINK_PING_MS,
      nextSnapshotAt: now + SNAPSHOT_MIN_MS,
      sent: null,
    };
    return [
      ...this.#log(null),
      { kind: "send-hello" },
      { kind: "take-snapshot" },
      ...this.#usage.connected(now),
    ];
  }

  /** The connection has ended, or couldn't be opened. */
  ended(dial: number, end: LinkEnd, now: number): LinkAction[] {
    const state = this.#state;
    if ((state.kind !== "dialling" && state.kind !== "open") || state.dial !== dial) return [];
    return this.#lost(end, now);
  }

  /** (4) The edge answered a ping. Any frame counts as an answer too. */
  pongReceived(dial: number): void {
    if (this.#state.kind === "open" && this.#state.dial === dial) this.#state.pingedAt = null;
  }

  frameReceived(dial: number, frame: EdgeFrame, now: number): LinkAction[] {
    if (this.#state.kind !== "open" || this.#state.dial !== dial) return [];
    this.pongReceived(dial);
    if (frame.t !== "ack") return [{ kind: "command", command: frame }];
    return this.#finishedAfter(this.#usage.edgeAcknowledged(frame.epoch, frame.lastSeq, now));
  }

  /** (5) Sends the snapshot if it is due or differs from the last one. */
  snapshotTaken(snapshot: BoxSnapshot, now: number): LinkAction[] {
    const state = this.#state;
    if (state.kind !== "open") return [];
    const { sent } = state;
    if (sent !== null && now - sent.at < SNAPSHOT_MAX_MS && !changedSince(sent.snapshot, snapshot)) return [];
    state.sent = { snapshot, at: now };
    this.#snapshots += 1;
    return [{ kind: "send-snapshot", frame: { t: "snapshot", seq: this.#snapshots, ...snapshot } }];
  }

  /** A call has ended and is in the journal. */
  callRecorded(now: number): void {
    this.#usage.callRecorded(now);
  }

  batchRead(batch: UsageBatch | null, oldestAgeMs: number, now: number): LinkAction[] {
    return this.#finishedAfter(this.#usage.batchRead(batch, oldestAgeMs, now));
  }

  journalAcknowledged(now: number): LinkAction[] {
    return this.#finishedAfter(this.#usage.journalAcknowledged(now));
  }

  /** (8) No more calls will end on this box: sends the remaining usage, for up to `withinMs`, and a bye. */
  finish(now: number, withinMs: number): LinkAction[] {
    if (this.#finishBy !== null || this.#state.kind === "finished") return [];
    this.#finishBy = now + withinMs;
    if (this.#state.kind !== "open") return this.#finish();
    return [{ kind: "take-snapshot" }, ...this.#finishedAfter(this.#usage.finish(now))];
  }

  /** Time of the next `tick` that has something to do. */
  nextAt(): number {
    const state = this.#state;
    switch (state.kind) {
      case "idle":
      case "finished":
        return Infinity;
      case "waiting":
        return state.until;
      case "dialling":
        return state.startedAt + DIAL_TIMEOUT_MS;
      case "open": {
        const ping = state.pingedAt === null ? state.nextPingAt : state.pingedAt + LINK_PONG_MS;
        return Math.min(ping, state.nextSnapshotAt, this.#usage.nextAt(), this.#finishBy ?? Infinity);
      }
    }
  }

  tick(now: number): LinkAction[] {
    const state = this.#state;
    if (now < this.nextAt()) return [];
    if (state.kind === "waiting") return this.#dial(now);
    if (state.kind === "dialling") return this.#timedOut(state.dial, now);
    if (state.kind !== "open") return [];
    if (this.#finishBy !== null && now >= this.#finishBy) return this.#finish();
    if (state.pingedAt !== null && now - state.pingedAt >= LINK_PONG_MS)
      return this.#timedOut(state.dial, now);
    const actions: LinkAction[] = [];
    if (state.pingedAt === null && now >= state.nextPingAt) {
      state.pingedAt = now;
      state.nextPingAt = now + LINK_PING_MS;
      actions.push({ kind: "send-ping" });
    }
    if (now >= state.nextSnapshotAt) {
      state.nextSnapshotAt = now + SNAPSHOT_MIN_MS;
      actions.push({ kind: "take-snapshot" });
    }
    return [...actions, ...this.#finishedAfter(this.#usage.tick(now))];
  }

  #dial(now: number): LinkAction[] {
    const dial = ++this.#dials;
    this.#state = { kind: "dialling", dial, startedAt: now };
    return [{ kind: "dial", dial }];
  }

  /** (4) A half-open connection reports no error of its own. */
  #timedOut(dial: number, now: number): LinkAction[] {
    return [{ kind: "disconnect", dial }, ...this.#lost({ kind: "silent" }, now)];
  }

  #lost(end: LinkEnd, now: number): LinkAction[] {
    const wasStable = this.#state.kind === "open" && now - this.#state.openedAt >= STABLE_MS;
    this.#failures = wasStable ? 1 : this.#failures + 1;
    this.#usage.disconnected();
    this.#state = { kind: "waiting", until: now + this.#pauseAfter(end) };
    return [...this.#log(end), ...(this.#finishBy === null ? [] : this.#finish())];
  }

  /** (3) */
  #pauseAfter(end: LinkEnd): number {
    // After a close with one of these codes, an immediate dial would be closed again.
    const failures = end.kind === "closed" && LASTING_CLOSE_CODES.has(end.code) ? Infinity : this.#failures;
    const pause = isRefusal(end) ? REFUSED_RETRY_MS : backoffMs(REDIAL, failures);
    return jittered(pause, this.#random());
  }

  #finishedAfter(actions: readonly UsageAction[]): LinkAction[] {
    return this.#usage.finished ? [...actions, ...this.#finish()] : [...actions];
  }

  #finish(): LinkAction[] {
    const state = this.#state;
    if (state.kind === "finished") return [];
    this.#state = { kind: "finished" };
    this.#usage.disconnected();
    if (state.kind === "dialling") return [{ kind: "disconnect", dial: state.dial }, { kind: "finished" }];
    return state.kind === "open" ? [{ kind: "send-bye" }, { kind: "finished" }] : [{ kind: "finished" }];
  }

  #log(end: LinkEnd | null): LinkAction[] {
    const text = JSON.stringify(end);
    if (text === this.#logged) return [];
    this.#logged = text;
    return [{ kind: "log", end }];
  }
}

/** All but `replaced`: their cause lasts until an operator fixes it. */
const LASTING_CLOSE_CODES: ReadonlySet<number> = new Set(
  Object.entries(LINK_CLOSE).flatMap(([reason, code]) => (reason === "replaced" ? [] : [code])),
);

/** The edge refuses this box until an operator changes something; 408 and 429 pass by themselves. */
export const isRefusal = (end: LinkEnd): boolean =>
  end.kind === "refused" && end.status >= 400 && end.status < 500 && end.status !== 408 && end.status !== 429;
