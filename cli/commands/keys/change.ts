// `isha keys change <id>`: what is named is set, the rest stays.
import type { Command } from "commander";
import { KeyChange, KeyView } from "../../../shared/keys.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { addKeyArgument, keyPath } from "../../options/key-argument.ts";
import { addKeyOptions, keyBody, type KeyFieldOptions } from "../../options/key-fields.ts";
import { keyFields } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { bold, fieldsText } from "../../terminal/table.ts";

type Options = KeyFieldOptions & OutputOptions & ConnectionOptions;

export function addKeysChange(keys: Command, around: CommandContext): void {
  const command = addKeyArgument(keys.command("change"))
    .summary("set a key's limits and what it may")
    .description("Changes a key: what is named is set, the rest stays. It holds within a second.")
    .option("--name <name>", "whose it is");
  addKeyOptions(command).option("--no-address-exempt", "counted against its address again");
  addServiceOptions(command).action((id: string, options: Options) => change(id, options, around));
  addExamples(command, [
    "isha keys change 3fA9kQ2mXw7b --tokens-per-month 10M --concurrent 4",
    "isha keys change 3fA9kQ2mXw7b --agents all --tokens-per-month none --expires none",
  ]);
}

async function change(id: string, options: Options, around: CommandContext): Promise<void> {
  const body = keyBody(options, KeyChange);
  const api = await connect(options, around);
  const { value, raw } = await api.ask(KeyView, keyPath(id), { method: "PATCH", body });
  const { out } = around;
  if (options.json === true) {
    writeJson(out, raw);
    return;
  }
  out.write(`${bold("Changed; the key now:", out)}\n\n${fieldsText(keyFields(value, around.now()))}`);
}
