// Figures of a simulated limit: what it costs in object calls, how many requests wait, how much of it is usable.
import { Simulation, type Plan, type WindowRecord } from "./lease-simulation.ts";

export interface Figures {
  readonly plan: Plan;
  /** Lease requests for each request. */
  readonly callsPerRequest: number;
  /** Share of the requests that wait for a round trip. */
  readonly waitingShare: number;
  /** Admitted requests, as a share of the limit. */
  readonly usedShare: number;
  /** Admitted requests, as a share of the requests or of the limit, whichever is less. */
  readonly admittedShare: number;
}

/** Counts complete windows, without the first three and the last two. */
export function figuresOf(plan: Plan): Figures {
  const { windows } = new Simulation(plan).run();
  const records = [...windows.entries()].sort(([a], [b]) => a - b).map(([, record]) => record);
  const steady = records.slice(3, -2);
  const sum = (field: keyof WindowRecord): number =>
    steady.reduce((total, record) => total + record[field], 0);
  const [requests, limit] = [sum("requests"), steady.length * plan.quota];
  return {
    plan,
    callsPerRequest: sum("leaseRequests") / requests,
    waitingShare: sum("waited") / requests,
    usedShare: sum("admitted") / limit,
    admittedShare: Math.min(1, sum("admitted") / Math.min(requests, limit)),
  };
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** A Markdown table. */
export function tableOf(figures: readonly Figures[]): string {
  const head = ["isolates", "requests/s", "round trip", "object calls per request", "waiting", "admitted"];
  const rows = figures.map(({ plan, callsPerRequest, waitingShare, admittedShare }) => [
    String(plan.isolates),
    String(plan.perSecond),
    `${plan.tripMs} ms`,
    callsPerRequest.toFixed(3),
    percent(waitingShare),
    percent(admittedShare),
  ]);
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
