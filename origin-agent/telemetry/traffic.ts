// The calls of the last five minutes, as the console and the alarms want them: by agent type and outcome, and per
// server the time to the first token. Pure: it is told each call's end, with the time.
import type { Call } from "../../shared/call-headers.ts";
import { faultOf } from "../../shared/errors.ts";
import type { Snapshot } from "../../shared/wire.ts";
import type { CallReport } from "../calls/report.ts";

/** Over how long it is told, and in steps of how long the oldest is forgotten, milliseconds. */
const WINDOW_MS = 5 * 60_000;
const STEP_MS = 10_000;

/** First-token times kept of one server: those of the last few minutes at its full pace. */
const TIMES_KEPT = 200;

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
  #steps: Step[] = [];
  readonly #times = new Map<number, { readonly at: number; readonly ms: number }[]>();
  readonly #continued = new Map<number, number>();

  /** @param agents the agent types told by name; any other is `other`. */
  constructor(agents: Iterable<string>) {
    this.#agents = new Set(agents);
  }

  /** @param tokens of the answer, as they are booked; null where nobody knows. */
  ended(
    call: Pick<Call, "agentType" | "wantedPort" | "stream">,
    report: Pick<
      CallReport,
      "port" | "refusal" | "firstByteMs" | "queueMs" | "replays" | "continuations" | "outcome"
    >,
    tokens: number | null,
    now: number,
  ): void {
    const step = this.#stepAt(now);
    const agent = this.#agents.has(call.agentType) ? call.agentType : "other";
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
    // Of an answer in one piece the first byte is the last token's.
    if (call.stream && report.firstByteMs !== null) this.#noteTime(report.port, report.firstByteMs, now);
  }

  traffic(now: number): Traffic {
    this.#forget(now);
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
    };
  }

  /** Of a server's calls of the window; null where it had none. */
  firstToken(port: number, now: number): FirstTokenTimes {
    const times = (this.#times.get(port) ?? [])
      .filter(({ at }) => now - at < WINDOW_MS)
      .map(({ ms }) => ms)
      .toSorted((a, b) => a - b);
    return { p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) };
  }

  /** Streams that this server went on with where another try of theirs had ended, since the start. */
  continued(port: number): number {
    return this.#continued.get(port) ?? 0;
  }

  #noteTime(port: number, ms: number, at: number): void {
    const times = this.#times.get(port) ?? [];
    this.#times.set(port, times);
    times.push({ at, ms });
    if (times.length > TIMES_KEPT) times.shift();
  }

  #stepAt(now: number): Step {
    const at = now - (now % STEP_MS);
    const last = this.#steps.at(-1);
    if (last?.at === at) return last;
    this.#forget(now);
    const step: Step = { at, byAgent: new Map(), calls: 0, failed: 0, fallbacks: 0, recoveries: 0 };
    this.#steps.push(step);
    return step;
  }

  #forget(now: number): void {
    this.#steps = this.#steps.filter((step) => now - step.at < WINDOW_MS);
  }
}

/** The smallest value that `share` of them don't exceed; null of none. */
function quantile(sorted: readonly number[], share: number): number | null {
  const value = sorted[Math.ceil(share * sorted.length) - 1];
  return value === undefined ? null : Math.round(value);
}
