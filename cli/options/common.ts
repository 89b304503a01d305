// Options that every command has: the service's address, the admin key, JSON output; and the examples in its help.
// The options belong to the program as well, so they may come before a command's name.
import type { Command } from "commander";
import type { CommandContext, Output } from "../context.ts";

export interface OutputOptions {
  readonly json?: true;
}

/** Options of a command that calls the service. */
export interface ServiceOptions extends OutputOptions {
  readonly url?: string;
  readonly keyFile?: string;
}

export function addServiceOptions(command: Command): Command {
  return addJsonOption(command)
    .option("--url <address>", "address of the service (default: ISHA_URL, else the fleet file's domain)")
    .option("--key-file <file>", "file with the admin key (default: ISHA_ADMIN_KEY, else ~/.isha/admin-key)");
}

export function addJsonOption(command: Command): Command {
  return command.option("--json", "print JSON, as the service returns it");
}

/** Passes options before a subcommand's name on to the subcommand. */
export function inheritOptions(command: Command): Command {
  return command.hook("preSubcommand", (_, subcommand) => {
    for (const [name, value] of Object.entries(command.opts())) {
      subcommand.setOptionValueWithSource(name, value, "cli");
    }
  });
}

/** `isha` as it can be typed in a clone, without npm's own output: an example may be piped. */
const INVOCATION = "npm run -s isha --";

/** @param lines commands that start with `isha`. */
export function addExamples(command: Command, lines: readonly string[]): Command {
  const examples = lines.map((line) => `  $ ${line.replace(/^isha/, INVOCATION)}`);
  return command.addHelpText("after", `\nExamples, in a clone:\n${examples.join("\n")}`);
}

export function writeJson(out: Output, value: unknown): void {
  out.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints the service's answer: as JSON if `--json` is set, else as text. */
export function writeAnswer(
  { json }: OutputOptions,
  { out }: CommandContext,
  raw: unknown,
  text: () => string,
): void {
  if (json === true) writeJson(out, raw);
  else out.write(text());
}
