// Rows with bars: calls by agent type, refusals and failures by code.
import { faultOf } from "../../shared/errors.ts";
import type { FleetTraffic } from "../../shared/fleet-view.ts";
import { durationText } from "../../shared/duration.ts";
import { share } from "./format.ts";

export interface BarRow {
  readonly name: string;
  readonly count: number;
  /** Share of the largest row, 0 to 1. */
  readonly share: number;
  readonly note: string;
  /** For a code: whether the fleet, not the caller, caused it. */
  readonly fleetFailure?: boolean;
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
  request_timeout: "a client sent its body too slowly",
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

export function agentRows(traffic: FleetTraffic): BarRow[] {
  const max = Math.max(0, ...traffic.byAgent.map(({ calls }) => calls));
  return traffic.byAgent
    .toSorted((a, b) => b.calls - a.calls)
    .map(({ agent, calls, tokens }) => ({
      name: agent,
      count: calls,
      share: share(calls, max),
      note: `${tokens.toLocaleString("en-GB")} tokens`,
    }));
}

export function codeRows(traffic: FleetTraffic): BarRow[] {
  const max = Math.max(0, ...traffic.byCode.map(({ count }) => count));
  return traffic.byCode
    .toSorted((a, b) => b.count - a.count)
    .map(({ code, count }) => ({
      name: code,
      count,
      share: share(count, max),
      note: CODE_TEXT[code] ?? "the caller's request",
      fleetFailure: isFleetFailure(code),
    }));
}

/** Whether the fleet, not the caller, caused a failure. */
export const isFleetFailure = (code: string): boolean => faultOf(code) !== "caller";

export function windowText({ windowS }: FleetTraffic): string {
  return `the last ${durationText(windowS * 1000)}`;
}

export function totalCalls(traffic: FleetTraffic): number {
  return traffic.byAgent.reduce((sum, { calls }) => sum + calls, 0);
}
