// `isha usage`: what keys used over a stretch of time.
import { Option, type Command } from "commander";
import { USAGE_GROUPS, UsageReport, type UsageGroup } from "../../shared/usage-report.ts";
import { addExamples, addServiceOptions, writeJson, type OutputOptions } from "../options/common-options.ts";
import { connect, type ConnectionOptions } from "../api/connection.ts";
import { usageFailure } from "../failure.ts";
import { momentText } from "../terminal/figures.ts";
import { readKeyId } from "../options/key-argument.ts";
import { keyNames } from "../api/key-names.ts";
import { optionValue, readMoment, readMonth, readSpan } from "../options/option-values.ts";
import type { CommandContext } from "../context.ts";
import { bold } from "../terminal/table.ts";
import { usageRange } from "../options/usage-range.ts";
import { usageTable } from "../terminal/usage-text.ts";

type Options = OutputOptions &
  ConnectionOptions & {
    readonly key?: string;
    readonly from?: number;
    readonly to?: number;
    readonly last?: number;
    readonly month?: number;
    readonly by?: UsageGroup;
    readonly csv?: true;
  };

export function addUsage(program: Command, around: CommandContext): void {
  const command = program
    .command("usage")
    .summary("calls and tokens, by key, model, agent type, day or hour")
    .description(
      "Calls and tokens of a stretch of time, in UTC; without one, of this month so far. Tokens that the model's " +
        "server didn't get to count (calls that broke off) are estimated, and the table says how many calls that were.",
    )
    .option("--key <id>", "of this key alone", readKeyId)
    .option("--from <day>", "from then on: 2026-11-01, or a moment", optionValue(readMoment))
    .option("--to <day>", "up to then, that day not included", optionValue(readMoment))
    .addOption(
      new Option("--last <time>", "the time before now: 24h, 7d")
        .argParser(optionValue(readSpan))
        .conflicts(["from", "to", "month"]),
    )
    .addOption(
      new Option("--month <month>", "a calendar month: 2026-10")
        .argParser(optionValue(readMonth))
        .conflicts(["from", "to"]),
    )
    .addOption(new Option("--by <group>", "a line each (default: key; day with --key)").choices(USAGE_GROUPS))
    .addOption(new Option("--csv", "print CSV, for a spreadsheet").conflicts("json"));
  addServiceOptions(command).action((options: Options) => usage(options, around));
  addExamples(command, [
    "isha usage",
    "isha usage --last 7d --by model",
    "isha usage --key 3fA9kQ2mXw7b --from 2026-11-01 --to 2026-11-08 --by day",
    "isha usage --month 2026-10 --csv > october.csv",
  ]);
}

async function usage(options: Options, around: CommandContext): Promise<void> {
  const range = usageRange(options, around.now());
  if (range === null) throw usageFailure("That stretch of time is empty: --from must be before --to.");
  const by = options.by ?? (options.key === undefined ? "key" : "day");
  const api = await connect(options, around);
  const query = { key: options.key, by, from: instant(range.from), to: instant(range.to) };
  const { out } = around;
  if (options.csv === true) {
    out.write(await api.askCsv("/admin/usage", { ...query, format: "csv" }));
    return;
  }
  const { value: report, raw } = await api.ask(UsageReport, "/admin/usage", { query });
  if (options.json === true) return writeJson(out, raw);
  const of = report.key === null ? "" : `, key ${report.key}`;
  out.write(`${bold(`${momentText(report.from)} to ${momentText(report.to)}${of}`, out)}\n\n`);
  out.write(usageTable(report, by === "key" ? await keyNames(api) : new Map(), out));
}

const instant = (at: number): string => new Date(at).toISOString();
