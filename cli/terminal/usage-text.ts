// Formats a usage report as a table. Pure.
import type { UsageReport, UsageSums } from "../../shared/usage-report.ts";
import { countText, shareText } from "./format.ts";
import type { Output } from "../context.ts";
import { tableText, type Column } from "./table.ts";

const TITLES = {
  key: "KEY",
  model: "MODEL",
  agent: "AGENT TYPE",
  day: "DAY (UTC)",
  hour: "HOUR (UTC)",
} as const;

const FIGURES: readonly Column[] = [
  { title: "CALLS", right: true },
  { title: "COMPLETE", right: true },
  { title: "PROMPT", right: true },
  { title: "CACHED", right: true, spare: true },
  { title: "ANSWER", right: true },
  { title: "TOKENS", right: true },
];

/** @param names the keys' names by id. */
export function usageTable(
  report: UsageReport,
  names: ReadonlyMap<string, string>,
  screen: Pick<Output, "columns" | "colours">,
): string {
  if (report.rows.length === 0) return "No calls.\n";
  const named = report.by === "key" && names.size > 0;
  const lead: Column[] = [
    { title: TITLES[report.by], cut: true },
    ...(named ? [{ title: "NAME", cut: true }] : []),
  ];
  const rows = report.rows.map((row) => [
    row.group,
    ...(named ? [names.get(row.group) ?? ""] : []),
    ...figures(row),
  ]);
  const total = ["total", ...(named ? [""] : []), ...figures(report.total)];
  return tableText([...lead, ...FIGURES], rows, screen, total) + estimateLine(report.total);
}

function figures(sums: UsageSums): string[] {
  const { calls, complete, promptTokens, cachedTokens, completionTokens } = sums;
  return [
    countText(calls),
    shareText(complete, calls),
    countText(promptTokens),
    countText(cachedTokens),
    countText(completionTokens),
    countText(promptTokens + completionTokens),
  ];
}

function estimateLine({ calls, estimatedCalls }: UsageSums): string {
  if (estimatedCalls === 0) return "\nAll tokens were counted by the model servers.\n";
  const share = shareText(estimatedCalls, calls);
  return `\nThe tokens of ${countText(estimatedCalls)} of ${countText(calls)} calls (${share}) are estimated.\n`;
}
