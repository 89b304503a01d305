// `isha usage`: shows calls and tokens of a time range.
import { Option, type Command } from "commander";
import { USAGE_GROUPS, UsageReport, type UsageGroup } from "../../shared/usage-report.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../options/common.ts";
import { connect } from "../api/connection.ts";
import { usageFailure } from "../failure.ts";
import { momentText } from "../terminal/format.ts";
import { parseKeyId } from "../options/arguments.ts";
import { keyNames } from "../api/key-names.ts";
import { optionValue, parseDuration, parseMonth, parseTime } from "../options/values.ts";
import type { CommandContext } from "../context.ts";
import { bold } from "../terminal/table.ts";
import { usageRange } from "../options/usage-range.ts";
import { usageTable } from "../terminal/usage-text.ts";

type Options = ServiceOptions & {
  readonly key?: string;
  readonly from?: number;
  readonly to?: number;
  readonly last?: number;
  readonly month?: number;
  readonly by?: UsageGroup;
  readonly csv?: true;
};

export function addUsage(program: Command, io: CommandContext): void {
  const command = program
    .command("usage")
    .summary("calls and tokens, by key, model, agent type, day or hour")
    .description(
      "Shows calls and tokens of a time range in UTC; by default, of this month so far. The tokens of calls that broke " +
        "off before the model's server had counted them are estimates; the table shows how many calls that concerns.",
    )
    .option("--key <id>", "only this key", parseKeyId)
    .option("--from <day>", "start of the range: 2026-11-01, or a time", optionValue(parseTime))
    .option("--to <day>", "end of the range, exclusive", optionValue(parseTime))
    .addOption(
      new Option("--last <time>", "the time up to now: 24h, 7d")
        .argParser(optionValue(parseDuration))
        .conflicts(["from", "to", "month"]),
    )
    .addOption(
      new Option("--month <month>", "a calendar month: 2026-10")
        .argParser(optionValue(parseMonth))
        .conflicts(["from", "to"]),
    )
    .addOption(
      new Option("--by <group>", "one row for each (default: key; day with --key)").choices(USAGE_GROUPS),
    )
    .addOption(new Option("--csv", "print CSV, for a spreadsheet").conflicts("json"));
  addServiceOptions(command).action((options: Options) => usage(options, io));
  addExamples(command, [
    "isha usage",
    "isha usage --last 7d --by model",
    "isha usage --key 3fA9kQ2mXw7b --from 2026-11-01 --to 2026-11-08 --by day",
    "isha usage --month 2026-10 --csv > october.csv",
  ]);
}

async function usage(options: Options, io: CommandContext): Promise<void> {
  const range = usageRange(options, io.now());
  if (range === null) throw usageFailure("The time range is empty: --from must be before --to.");
  const by = options.by ?? (options.key === undefined ? "key" : "day");
  const api = await connect(options, io);
  const query = { key: options.key, by, from: instant(range.from), to: instant(range.to) };
  const { out } = io;
  if (options.csv === true) {
    out.write(await api.requestCsv("/admin/usage", { ...query, format: "csv" }));
    return;
  }
  const { value: report, raw } = await api.request(UsageReport, "/admin/usage", { query });
  if (options.json === true) return writeJson(out, raw);
  const of = report.key === null ? "" : `, key ${report.key}`;
  out.write(`${bold(`${momentText(report.from)} to ${momentText(report.to)}${of}`, out)}\n\n`);
  out.write(usageTable(report, by === "key" ? await keyNames(api) : new Map(), out));
}

const instant = (at: number): string => new Date(at).toISOString();
