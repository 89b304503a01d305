// Counts the calls of the last five minutes and of the last hour by agent type: rates, whose fault the errors are, and
// latencies. Pure: each call's end and the time are passed in.
import { faultOf } from "../../shared/errors.ts";
import type { TrafficWindow } from "../../shared/wire.ts";
import type { CallReport } from "../calls/report.ts";
import { TimeHistogram } from "./time-histogram.ts";

/** The lengths of the windows. */
const WINDOWS_MS = [5 * 60_000, 60 * 60_000] as const;

/** Old calls are dropped in steps of this length. */
const STEP_MS = 10_000;

/** The windows are summed up at most this often: the link looks for changes several times a second. */
const SUM_EVERY_MS = 1_000;

/** Agent types of a window with rows of their own; the rest is summed up as `other`, so that the frame stays small. */
const MAX_ROWS = 20;
const OTHER = "other";

class Sums {
  calls = 0;
  ours = 0;
  callers = 0;
  readonly total = new TimeHistogram();
  readonly firstToken = new TimeHistogram();

  add(other: Sums): void {
    this.calls += other.calls;
    this.ours += other.ours;
    this.callers += other.callers;
    this.total.merge(other.total);
    this.firstToken.merge(other.firstToken);
  }
}

export type EndedCall = Pick<CallReport, "outcome" | "refusal" | "firstByteMs"> & {
  readonly stream: boolean;
  /** From the call's arrival to its end. */
  readonly ms: number;
};

export class TrafficWindows {
  #summed: { readonly at: number; readonly windows: TrafficWindow[] } | null = null;
  #steps: { readonly at: number; readonly byAgent: Map<string, Sums> }[] = [];

  ended(agent: string, { outcome, refusal, firstByteMs, stream, ms }: EndedCall, now: number): void {
    const sums = this.#sumsOf(agent, now);
    sums.calls += 1;
    if (refusal !== null) {
      if (faultOf(refusal.code) === "caller") sums.callers += 1;
      else sums.ours += 1;
    }
    // A refusal is fast, and a call that its client ended says nothing about the server.
    if (outcome === "answered") sums.total.add(ms);
    // The first byte of an unstreamed answer arrives with its last token.
    if (stream && firstByteMs !== null) sums.firstToken.add(firstByteMs);
  }

  /** @param now also the time since the agent's start: a window is no longer than that */
  windows(now: number): TrafficWindow[] {
    if (this.#summed === null || Math.abs(now - this.#summed.at) >= SUM_EVERY_MS) {
      this.#dropOld(now);
      this.#summed = { at: now, windows: WINDOWS_MS.map((windowMs) => this.#window(windowMs, now)) };
    }
    return this.#summed.windows;
  }

  #window(windowMs: number, now: number): TrafficWindow {
    const byAgent = new Map<string, Sums>();
    const sumsIn = (agent: string): Sums => {
      const sums = byAgent.get(agent) ?? new Sums();
      byAgent.set(agent, sums);
      return sums;
    };
    for (const step of this.#steps)
      if (now - step.at < windowMs) for (const [agent, sums] of step.byAgent) sumsIn(agent).add(sums);
    const busiest = [...byAgent].toSorted(([, a], [, b]) => b.calls - a.calls);
    for (const [agent, sums] of busiest.slice(MAX_ROWS)) {
      if (agent !== OTHER) sumsIn(OTHER).add(sums);
      if (agent !== OTHER) byAgent.delete(agent);
    }
    const rows = [...byAgent];
    const column = <T>(of: (sums: Sums) => T): T[] => rows.map(([, sums]) => of(sums));
    return {
      windowS: windowMs / 1_000,
      coveredS: Math.round(Math.min(windowMs, now) / 1_000),
      agents: rows.map(([agent]) => agent),
      calls: column(({ calls }) => calls),
      ours: column(({ ours }) => ours),
      callers: column(({ callers }) => callers),
      p50Ms: column(({ total }) => total.quantile(0.5)),
      p95Ms: column(({ total }) => total.quantile(0.95)),
      firstP50Ms: column(({ firstToken }) => firstToken.quantile(0.5)),
      firstP95Ms: column(({ firstToken }) => firstToken.quantile(0.95)),
    };
  }

  #sumsOf(agent: string, now: number): Sums {
    const at = now - (now % STEP_MS);
    let step = this.#steps.at(-1);
    if (step?.at !== at) {
      this.#dropOld(now);
      step = { at, byAgent: new Map() };
      this.#steps.push(step);
    }
    const sums = step.byAgent.get(agent) ?? new Sums();
    step.byAgent.set(agent, sums);
    return sums;
  }

  #dropOld(now: number): void {
    this.#steps = this.#steps.filter((step) => now - step.at < Math.max(...WINDOWS_MS));
  }
}
