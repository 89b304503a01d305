// One server's health along a made-up clock: events go in at given times, states and changes come out.
import type { SlotReading } from "../../../origin-agent/probes/llama.ts";
import { stuckSlots } from "../../../origin-agent/health/decode-progress.ts";
import { usualTime } from "../../../origin-agent/health/duration-baseline.ts";
import type { HealthState } from "../../../origin-agent/health/cause.ts";
import { nextProbeAt } from "../../../origin-agent/health/probe-schedule.ts";
import {
  newServerHealth,
  type CallFate,
  type HealthEvent,
  type HealthRecord,
  type OneTokenOutcome,
  type Pm2Evidence,
} from "../../../origin-agent/health/record.ts";
import {
  isPreferred,
  isWaitable,
  remainingLoadMs,
  step,
  viewOf,
  type HealthChange,
  type HealthView,
} from "../../../origin-agent/health/state-machine.ts";
import type { HealthAnswer } from "../../../origin-agent/probes/llama.ts";

/** The weights of the server under test, GiB. */
export const WEIGHTS_GIB = 6.1;

export const ANSWERED: Extract<CallFate, { fate: "answered" }> = {
  fate: "answered",
  decodedTokens: null,
  decodeMs: null,
  promptTokens: null,
};

/** A busy slot's look. */
export const busy = (
  decoded: number | null,
  promptProcessed: number | null = 40,
  task = 7,
  id = 0,
): SlotReading => ({
  id,
  busy: true,
  task,
  decoded,
  tokens: null,
  promptProcessed,
});

export const idle = (id = 0): SlotReading => ({
  id,
  busy: false,
  task: 7,
  decoded: 0,
  tokens: null,
  promptProcessed: 0,
});

/** Whether a call for one token is due. */
export const wantsOneToken = (record: HealthRecord, now: number): boolean =>
  (nextProbeAt(record, now).oneToken ?? Infinity) <= now;

interface Derived {
  readonly forMs: number;
  readonly preferred: boolean;
  readonly waitable: boolean;
  readonly remainingMs: number | null;
  readonly usualLoadMs: number | null;
  readonly decodePerSecond: number | null;
  readonly usualDecodePerSecond: number | null;
  readonly stuckSlots: readonly number[];
}

export class Timeline {
  record: HealthRecord;
  now = 0;
  readonly changes: (HealthChange & { readonly at: number })[] = [];

  constructor(weightsGib: number | null = WEIGHTS_GIB) {
    this.record = newServerHealth(weightsGib, 0);
  }

  /** Moves the clock to a time; an event after it happens then. */
  at(now: number): this {
    if (now < this.now) throw new Error("time only goes forward");
    this.now = now;
    return this;
  }

  after(ms: number): this {
    return this.at(this.now + ms);
  }

  observe(event: HealthEvent): this {
    const { record, changes } = step(this.record, event, this.now);
    this.record = record;
    this.changes.push(...changes.map((change) => ({ ...change, at: this.now })));
    return this;
  }

  health(answer: HealthAnswer): this {
    return this.observe({ kind: "health", answer });
  }

  call(fate: CallFate): this {
    return this.observe({ kind: "call", ...fate });
  }

  /** A call that decoded `tokens` in `ms`. */
  answered(tokens: number, ms: number): this {
    return this.call({ ...ANSWERED, decodedTokens: tokens, decodeMs: ms });
  }

  slots(...slots: readonly SlotReading[]): this {
    return this.observe({ kind: "slots", slots });
  }

  noSlots(): this {
    return this.observe({ kind: "slots", slots: null });
  }

  gpu(gib: number | null, readAt = this.now): this {
    return this.observe({ kind: "gpu", gib, readAt });
  }

  pm2(word: Partial<Pm2Evidence> | null): this {
    const whole = { status: "online", pid: 100, restarts: 0, uptimeMs: 60_000, ...word } as const;
    return this.observe({ kind: "pm2", process: word === null ? null : whole });
  }

  /** A one-token call, sent now, that ends `ms` later. */
  oneToken(outcome: OneTokenOutcome, ms: number): this {
    return this.observe({ kind: "one-token-sent" }).after(ms).observe({ kind: "one-token", outcome });
  }

  /** `/health` says ok each second and `/slots` shows these, for so long. */
  steady(forMs: number, slots: readonly SlotReading[] | null = [idle()]): this {
    const end = this.now + forMs;
    while (this.now < end) {
      this.at(Math.min(end, this.now + 1_000))
        .health("ok")
        .observe({ kind: "slots", slots });
    }
    return this;
  }

  /** What other parts read of the server, and what it is derived from. */
  get view(): HealthView & Derived {
    const { record, now } = this;
    return {
      ...viewOf(record, now),
      forMs: now - record.since,
      preferred: isPreferred(record),
      waitable: isWaitable(record, now),
      remainingMs: remainingLoadMs(record, now),
      usualLoadMs: usualTime(record.loads),
      decodePerSecond: record.decode.recent,
      usualDecodePerSecond: record.decode.usual,
      stuckSlots: stuckSlots(record.progress),
    };
  }

  get state(): HealthState {
    return this.record.state;
  }

  /** State and cause in a word or two: `stalled no-decode`. */
  get word(): string {
    return `${this.record.state} ${this.record.cause.tag}`;
  }

  /** The states it was in, from the first, with the times of the changes: `ready@100`. */
  get course(): string[] {
    return this.changes.flatMap((change) => (change.kind === "state" ? [`${change.to}@${change.at}`] : []));
  }
}

/** A server that is up, has decoded a token and has nothing to do. */
export const readyAt = (now = 0): Timeline =>
  new Timeline().at(now).health("ok").oneToken({ end: "answered", ms: 50 }, 50);
