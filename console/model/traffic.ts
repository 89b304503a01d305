// Calls by agent type and refusals by code, as rows with bars.
import { ERRORS } from "../../shared/errors.ts";
import type { FleetTraffic } from "../../shared/fleet-view.ts";
import { durationWords } from "./duration.ts";
import { share } from "./figure.ts";

export interface BarRow {
  readonly name: string;
  readonly count: number;
  /** Of the largest, 0 to 1. */
  readonly share: number;
  readonly note: string;
}

/** A code's meaning in a word or two; the table says who should worry. */
const CODE_WORDS: Readonly<Record<string, string>> = {
  rate_limited_ip: "an address asked too often",
  rate_limited_key: "a key asked too often",
  too_many_failed_keys: "an address tried many wrong keys",
  concurrency_exceeded: "a key has too many calls at once",
  quota_exceeded: "a key's month is used up",
  invalid_key: "wrong or revoked keys",
  missing_key: "no key at all",
  request_timeout: "a caller's body came too slowly",
  overloaded: "all queues were full",
  model_loading: "the model was loading",
  model_unavailable: "the model was down, and nothing else might serve",
  draining: "the box was draining",
  no_box: "no box was there",
  box_unreachable: "the box couldn't be reached",
  upstream_failed: "a llama-server broke off",
  upstream_timeout: "a llama-server stalled",
  deadline_exceeded: "the call took too long",
  limiter_unavailable: "the limiter didn't answer",
  internal: "a fault of ours",
};

export function agentRows(traffic: FleetTraffic): BarRow[] {
  const most = Math.max(0, ...traffic.byAgent.map(({ calls }) => calls));
  return traffic.byAgent
    .toSorted((a, b) => b.calls - a.calls)
    .map(({ agent, calls, tokens }) => ({
      name: agent,
      count: calls,
      share: share(calls, most),
      note: `${tokens.toLocaleString("en-GB")} tokens`,
    }));
}

export function codeRows(traffic: FleetTraffic): (BarRow & { readonly ours: boolean })[] {
  const most = Math.max(0, ...traffic.byCode.map(({ count }) => count));
  return traffic.byCode
    .toSorted((a, b) => b.count - a.count)
    .map(({ code, count }) => ({
      name: code,
      count,
      share: share(count, most),
      note: CODE_WORDS[code] ?? "the caller's request",
      ours: isOurs(code),
    }));
}

/** Whether a failure is the fleet's doing rather than the caller's. */
export function isOurs(code: string): boolean {
  const row = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : undefined;
  return row === undefined || row.status >= 500;
}

export function windowWords({ windowS }: FleetTraffic): string {
  return `the last ${durationWords(windowS * 1000)}`;
}

export function callsInAll(traffic: FleetTraffic): number {
  return traffic.byAgent.reduce((sum, { calls }) => sum + calls, 0);
}
