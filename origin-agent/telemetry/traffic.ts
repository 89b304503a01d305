// Counts the calls of the last five minutes for the console and the alarms: by agent type and outcome, and the time to
// the first token per server. Pure: each call's end and the time are passed in.
import type { Call } from "../../shared/call-headers.ts";
import { faultOf } from "../../shared/errors.ts";
import type { Snapshot } from "../../shared/wire.ts";
import type { CallReport } from "../calls/report.ts";
import { TrafficWindows } from "./traffic-windows.ts";

/** The reported window, and the steps in which old calls are dropped. */
const WINDOW_MS = 5 * 60_000;
const STEP_MS = 10_000;

/** First-token times kept per server: those of the last few minutes at full load. */
const MAX_FIRST_TOKEN_TIMES = 200;

type Traffic = Snapshot["traffic"];

interface Step {
  readonly at: number;
  readonly byAgent: Map<string, { calls: number; tokens: number }>;
  calls: number;
  failed: number;
  fallbacks: number;
  recoveries: number;
}

export interface FirstTokenTimes {
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
}

export class RecentTraffic {
  readonly #agents: ReadonlySet<string>;
  readonly #windows = new TrafficWindows();
  #steps: Step[] = [];
  readonly #times = new Map<number, { readonly at: number; readonly ms: number }[]>();
  readonly #continued = new Map<number, number>();

  /** @param agents the agent types reported by name; any other is `other`. */
  constructor(agents: Iterable<string>) {
    this.#agents = new Set(agents);
  }

  /**
   * @param tokens of the answer, as booked; null if unknown.
   * @param ms from the call's arrival to its end.
   */
  ended(
    call: Pick<Call, "agentType" | "wantedPort" | "stream">,
    report: Pick<
      CallReport,
      "port" | "refusal" | "firstByteMs" | "queueMs" | "replays" | "continuations" | "outcome"
    >,
    tokens: number | null,
    now: number,
    ms = 0,
  ): void {
    const step = this.#stepAt(now);
    const agent = this.#agents.has(call.agentType) ? call.agentType : "other";
    this.#windows.ended(agent, { ...report, stream: call.stream, ms }, now);
    const sums = step.byAgent.get(agent) ?? { calls: 0, tokens: 0 };
    sums.calls += 1;
    sums.tokens += tokens ?? 0;
    step.byAgent.set(agent, sums);
    step.calls += 1;
    if (report.refusal !== null && faultOf(report.refusal.code) === "ours") step.failed += 1;
    if (report.port !== null && report.port !== call.wantedPort) step.fallbacks += 1;
    step.recoveries += report.replays + report.continuations;
    if (report.port === null) return;
    if (report.continuations > 0) {
      const before = this.#continued.get(report.port) ?? 0;
      this.#continued.set(report.port, before + report.continuations);
    }
    // The first byte of an unstreamed answer arrives with its last token.
    if (call.stream && report.firstByteMs !== null) this.#addTime(report.port, report.firstByteMs, now);
  }

  traffic(now: number): Traffic {
    this.#dropOld(now);
    const byAgent = new Map<string, { calls: number; tokens: number }>();
    for (const [agent, { calls, tokens }] of this.#steps.flatMap((step) => [...step.byAgent])) {
      const sums = byAgent.get(agent) ?? { calls: 0, tokens: 0 };
      byAgent.set(agent, { calls: sums.calls + calls, tokens: sums.tokens + tokens });
    }
    const sum = (of: (step: Step) => number): number =>
      this.#steps.reduce((total, step) => total + of(step), 0);
    return {
      windowS: WINDOW_MS / 1_000,
      byAgent: {
        agents: [...byAgent.keys()],
        calls: [...byAgent.values()].map(({ calls }) => calls),
        tokens: [...byAgent.values()].map(({ tokens }) => tokens),
      },
      calls: sum((step) => step.calls),
      failed: sum((step) => step.failed),
      fallbacks: sum((step) => step.fallbacks),
      recoveries: sum((step) => step.recoveries),
      windows: this.#windows.windows(now),
    };
  }

  /** Of the server's calls in the window; null if it had none. */
  firstToken(port: number, now: number): FirstTokenTimes {
    const times = (this.#times.get(port) ?? [])
      .filter(({ at }) => now - at < WINDOW_MS)
      .map(({ ms }) => ms)
      .toSorted((a, b) => a - b);
    return { p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) };
  }

  /** Streams that this server continued after another try had ended, since the start. */
  continued(port: number): number {
    return this.#continued.get(port) ?? 0;
  }

  #addTime(port: number, ms: number, at: number): void {
    const times = this.#times.get(port) ?? [];
    this.#times.set(port, times);
    times.push({ at, ms });
    if (times.length > MAX_FIRST_TOKEN_TIMES) times.shift();
  }

  #stepAt(now: number): Step {
    const at = now - (now % STEP_MS);
    const last = this.#steps.at(-1);
    if (last?.at === at) return last;
    this.#dropOld(now);
    const step: Step = { at, byAgent: new Map(), calls: 0, failed: 0, fallbacks: 0, recoveries: 0 };
    this.#steps.push(step);
    return step;
  }

  #dropOld(now: number): void {
    this.#steps = this.#steps.filter((step) => now - step.at < WINDOW_MS);
  }
}

/** The smallest value that at least `share` of the values don't exceed; null if there are none. */
function quantile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.ceil(share * sorted.length) - 1];
  return value === undefined ? null : Math.round(value);
}
