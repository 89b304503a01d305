// `isha keys revoke <id>`: the key stops, for good. It asks first.
import type { Command } from "commander";
import { KeyView } from "../../../shared/keys.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import { addKeyArgument, keyPath } from "../../options/key-argument.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = OutputOptions & ConnectionOptions & { readonly yes?: true };

export function addKeysRevoke(keys: Command, around: CommandContext): void {
  const command = addKeyArgument(keys.command("revoke"))
    .summary("stop a key, for good")
    .description(
      "Stops a key for good. No call of it is admitted later than a second after; running ones finish.",
    )
    .option("--yes", "don't ask");
  addServiceOptions(command).action((id: string, options: Options) => revoke(id, options, around));
  addExamples(command, ["isha keys revoke 3fA9kQ2mXw7b", "isha keys revoke 3fA9kQ2mXw7b --yes"]);
}

async function revoke(id: string, options: Options, around: CommandContext): Promise<void> {
  if (options.yes !== true && around.ask === null) {
    throw usageFailure("Nobody is at the terminal to confirm this.", "Add --yes if it is meant.");
  }
  const api = await connect(options, around);
  if (options.yes !== true) await confirm(api, id, around);
  const { value, raw } = await api.ask(KeyView, keyPath(id), { method: "DELETE" });
  if (options.json === true) writeJson(around.out, raw);
  else around.out.write(`Revoked ${value.id} (“${plain(value.name)}”). It stops within a second.\n`);
}

async function confirm(api: AdminApi, id: string, around: CommandContext): Promise<void> {
  const { value } = await api.ask(KeyView, keyPath(id));
  const answer = await around.ask?.(`Revoke ${id} (“${plain(value.name)}”) for good? [y/N] `);
  if (!/^y(?:es)?$/i.test(answer?.trim() ?? "")) {
    throw new CommandFailure(EXIT.failed, "Nothing was revoked.");
  }
}
