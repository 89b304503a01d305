// The traffic of a window: rates, error shares by fault, latencies by agent type, and error codes as bars. An unknown
// figure is null, never 0.
import { faultOf } from "../../shared/errors.ts";
import { durationText } from "../../shared/duration.ts";
import type { AgentTraffic, FleetTraffic, TrafficWindow } from "../../shared/fleet-view.ts";
import { share } from "./format.ts";

/** The windows that an operator can choose, by their length in seconds. */
export const WINDOWS = { "300": "5 minutes", "3600": "1 hour" } as const;
export type WindowName = keyof typeof WINDOWS;

export const isWindowName = (name: string): name is WindowName => Object.hasOwn(WINDOWS, name);

/** Null from an edge of an earlier release. */
export function windowOf(traffic: FleetTraffic, name: WindowName): TrafficWindow | null {
  return traffic.windows?.find(({ windowS }) => windowS === Number(name)) ?? null;
}

export interface AgentRow {
  readonly agent: string;
  readonly perSecond: number | null;
  /** Share of the busiest row, 0 to 1, for its bar. */
  readonly share: number;
  readonly calls: number;
  /** Shares of its calls. */
  readonly ours: number | null;
  readonly callers: number | null;
  readonly latency: AgentTraffic;
}

/** The busiest first; null if no agent reports. */
export function agentRows(window: TrafficWindow | null): AgentRow[] | null {
  const all = window?.byAgent ?? null;
  if (window === null || all === null) return null;
  const max = Math.max(0, ...all.map(({ calls }) => calls));
  return all
    .toSorted((a, b) => b.calls - a.calls)
    .map((row) => ({
      agent: row.agent,
      perSecond: perSecond(row.calls, window),
      share: share(row.calls, max),
      calls: row.calls,
      ours: row.calls === 0 ? null : share(row.ours, row.calls),
      callers: row.calls === 0 ? null : share(row.callers, row.calls),
      latency: row,
    }));
}

export interface Totals {
  readonly calls: number | null;
  readonly perSecond: number | null;
  /** Shares of all requests, and the numbers. */
  readonly ours: { readonly share: number | null; readonly count: number | null };
  readonly callers: { readonly share: number | null; readonly count: number | null };
  /** Requests that the edge refused; they are in no row of an agent type. Null if no agent reports, and for one type. */
  readonly refusedAtEdge: number | null;
}

/**
 * Of one agent type, as the boxes counted its calls; of all together with the requests that the edge refused, which
 * reach no box.
 *
 * @param agent empty for all
 */
export function totalsOf(window: TrafficWindow | null, agent: string): Totals {
  if (window === null) return UNKNOWN_TOTALS;
  const rows = window.byAgent?.filter((row) => agent === "" || row.agent === agent) ?? null;
  const sum = (of: (row: AgentTraffic) => number): number | null =>
    rows === null ? null : rows.reduce((total, row) => total + of(row), 0);
  const calls = sum(({ calls }) => calls);
  const failedOnBoxes = sum(({ ours, callers }) => ours + callers);
  const [ours, callers] =
    agent === ""
      ? [countOf(window, true), countOf(window, false)]
      : [sum((row) => row.ours), sum((row) => row.callers)];
  const refusedAtEdge = agent === "" ? Math.max(0, (ours ?? 0) + (callers ?? 0) - (failedOnBoxes ?? 0)) : 0;
  const requests = calls === null ? null : calls + refusedAtEdge;
  const shareOf = (count: number | null): number | null =>
    requests === null || requests === 0 || count === null ? null : share(count, requests);
  return {
    calls,
    perSecond: calls === null ? null : perSecond(calls, window),
    ours: { share: shareOf(ours), count: ours },
    callers: { share: shareOf(callers), count: callers },
    refusedAtEdge: agent === "" && calls !== null ? refusedAtEdge : null,
  };
}

const UNKNOWN_TOTALS: Totals = {
  calls: null,
  perSecond: null,
  ours: { share: null, count: null },
  callers: { share: null, count: null },
  refusedAtEdge: null,
};

function countOf({ byCode }: TrafficWindow, ours: boolean): number {
  return byCode.reduce((sum, { code, count }) => sum + (isOurs(code) === ours ? count : 0), 0);
}

const perSecond = (calls: number, { coveredS }: TrafficWindow): number | null =>
  coveredS > 0 ? calls / coveredS : null;

export interface CodeRow {
  readonly code: string;
  readonly count: number;
  /** Share of the most frequent code, 0 to 1. */
  readonly share: number;
  /** A short meaning. */
  readonly note: string;
  readonly ours: boolean;
}

/** Ours first, then the callers'; each the most frequent first. */
export function codeRows(window: TrafficWindow | null): CodeRow[] {
  const codes = window?.byCode ?? [];
  const max = Math.max(0, ...codes.map(({ count }) => count));
  return codes
    .map(({ code, count }) => ({
      code,
      count,
      share: share(count, max),
      note: codeText(code),
      ours: isOurs(code),
    }))
    .toSorted((a, b) => Number(b.ours) - Number(a.ours) || b.count - a.count);
}

/** Whether the fleet, not the caller, caused a failure. */
export const isOurs = (code: string): boolean => faultOf(code) !== "caller";

export const codeText = (code: string): string =>
  CODE_TEXT[code] ?? (isOurs(code) ? "a code of another release" : "the caller's request");

/** "in the last 5 min"; shorter if the agents have just started. */
export function windowText(window: TrafficWindow | null): string {
  if (window === null || window.byAgent === null) return "No agent reports its traffic";
  if (window.coveredS <= 0) return "The agents have just started";
  const text = durationText(Math.min(window.coveredS, window.windowS) * 1000);
  return window.coveredS < window.windowS ? `the last ${text}, since the agents started` : `the last ${text}`;
}

/** A short meaning of each code. */
const CODE_TEXT: Readonly<Record<string, string>> = {
  rate_limited_ip: "an address sent too many requests",
  rate_limited_key: "a key sent too many requests",
  too_many_failed_keys: "an address sent many invalid keys",
  concurrency_exceeded: "a key had too many concurrent calls",
  quota_exceeded: "a key's monthly limit was used up",
  invalid_key: "invalid or revoked keys",
  missing_key: "no key was sent",
  expired_key: "expired keys",
  request_timeout: "a client sent its body too slowly",
  invalid_request: "a field was wrong",
  invalid_json: "the body wasn't JSON",
  model_not_found: "an unknown model or agent",
  scope_missing: "a key without the scope",
  agent_not_allowed: "a key limited to other agents",
  context_length_exceeded: "the prompt was too long",
  overloaded: "all queues were full",
  model_loading: "the model was loading",
  model_unavailable: "the model was down and no other was allowed",
  draining: "the box was draining",
  no_box: "no box was available",
  box_unreachable: "the box couldn't be reached",
  upstream_failed: "a llama-server broke the connection",
  upstream_timeout: "a llama-server stalled",
  deadline_exceeded: "the call took too long",
  limiter_unavailable: "the limiter didn't answer",
  internal: "an internal error",
};
