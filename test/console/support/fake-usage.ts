// The usage of a fake admin API: reports whose rows add up, as JSON and as CSV.
import type { ServerResponse } from "node:http";
import { dayName, DAY_MS, HOUR_MS } from "../../../shared/calendar.ts";
import {
  MAX_SPLIT_NAMES,
  UsageQuery,
  UsageReport,
  type UsageSplit,
  type UsageSums,
} from "../../../shared/usage-report.ts";
import { NOTHING, plus } from "../../../worker/usage/booking.ts";
import { usageCsv } from "../../../worker/usage/csv.ts";

export class FakeUsage {
  readonly #clock: () => number;
  /** Largest first; a name's share of the calls decreases with its place. */
  names: Record<UsageSplit, readonly string[]> = {
    key: ["Qm2xPq8sT1", "Zk81hHa0Lw", "Aa00Bb11Cc"],
    model: ["BiMediX2-8B", "OpenInsurance-8B", "Qwen-0.6B"],
    agent: ["Clinical", "Claims", "Default", "Scribe"],
  };
  /** Factor of all figures; 0 for a deployment without calls. */
  scale = 1;
  /** Requests are refused while this is set. */
  fails = false;
  /** The queries, in order of arrival. */
  readonly queries: string[] = [];

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  answer(search: URLSearchParams, response: ServerResponse): UsageReport | undefined {
    this.queries.push(search.toString());
    if (this.fails) throw new Error("The ledger doesn't answer.");
    const report = this.report(UsageQuery.parse(Object.fromEntries(search)));
    if (search.get("format") !== "csv") return report;
    const headers = {
      "content-type": "text/csv",
      "content-disposition": 'attachment; filename="usage-a-b.csv"',
    };
    response.writeHead(200, headers).end(usageCsv(report));
    return undefined;
  }

  report({ by, split, from = "", to = "", key }: Partial<UsageQuery>): UsageReport {
    const start = Date.parse(from);
    const end = to === "" ? this.#clock() : Date.parse(to);
    const rows =
      by === "day" || by === "hour" ? this.#columns(by, split, start, end) : this.#names(by ?? "key");
    return UsageReport.parse({
      from: new Date(start).toISOString(),
      to: new Date(end).toISOString(),
      by,
      ...(split === undefined ? {} : { split }),
      key: key ?? null,
      total: rows.reduce(plus, NOTHING),
      rows,
    });
  }

  #names(by: UsageSplit): UsageReport["rows"] {
    return this.#sumsOf(this.names[by], 1).map(([group, sums]) => ({ group, ...sums }));
  }

  #columns(by: "day" | "hour", split: UsageSplit | undefined, from: number, to: number): UsageReport["rows"] {
    const step = by === "day" ? DAY_MS : HOUR_MS;
    const count = Math.ceil((Math.min(to, this.#clock()) - from) / step);
    const weights = Array.from({ length: count }, (_, index) => weight(index, by));
    const sum = weights.reduce((total, each) => total + each, 0);
    return weights.flatMap((each, index) => {
      const at = from + index * step;
      const sums = this.#sumsOf(this.names[split ?? "model"], each / sum).filter(
        ([, { calls }]) => calls > 0,
      );
      const group = by === "day" ? dayName(at) : `${new Date(at).toISOString().slice(0, 16)}Z`;
      const listed = sums.slice(0, MAX_SPLIT_NAMES).map(([name, each]) => ({ group, split: name, ...each }));
      const others = sums.slice(MAX_SPLIT_NAMES).reduce((sum, [, each]) => plus(sum, each), NOTHING);
      return others.calls === 0 ? listed : [...listed, { group, split: null, ...others }];
    });
  }

  #sumsOf(names: readonly string[], part: number): [name: string, sums: UsageSums][] {
    if (this.scale === 0) return [];
    return names.map((name, index) => {
      const share = (this.scale * part) / (1 + index * 3.2);
      return [
        name,
        {
          calls: Math.round(18_000 * share),
          complete: Math.round(17_900 * share),
          promptTokens: Math.round(2_100_000 * share),
          cachedTokens: Math.round(400_000 * share),
          completionTokens: Math.round(1_900_000 * share),
          estimatedCalls: share > 0.5 ? 14 : 0,
        },
      ];
    });
  }
}

/** Busy by day, quiet by night and on some days, and a column without calls. */
function weight(index: number, by: "day" | "hour"): number {
  const period = by === "day" ? 7 : 24;
  return index === 1 ? 0 : 1.02 + Math.sin((index / period) * 2 * Math.PI - 2);
}
