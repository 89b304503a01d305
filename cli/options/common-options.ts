// What every command has: where the service is, how the answer is written, and examples in its help. The first two
// are the program's as well, so that they may stand before a command's name.
import type { Command } from "commander";
import type { Output } from "../context.ts";

export interface OutputOptions {
  readonly json?: true;
}

/** Options of a command that asks the service. */
export function addServiceOptions(command: Command): Command {
  return addJsonOption(command)
    .option("--url <address>", "where the service is; else ISHA_URL, else the fleet file's domain")
    .option("--key-file <file>", "file with the admin key; else ISHA_ADMIN_KEY, else ~/.isha/admin-key");
}

export function addJsonOption(command: Command): Command {
  return command.option("--json", "print JSON, as the service gives it");
}

/** What is said before a command's name holds as if it stood after it. */
export function handDownOptions(command: Command): Command {
  return command.hook("preSubcommand", (_, next) => {
    for (const [name, value] of Object.entries(command.opts())) {
      next.setOptionValueWithSource(name, value, "cli");
    }
  });
}

export function addExamples(command: Command, lines: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`);
}

export function writeJson(out: Output, value: unknown): void {
  out.write(`${JSON.stringify(value, null, 2)}\n`);
}
