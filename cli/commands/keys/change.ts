// `isha keys change <id>`: sets the given properties of a key and keeps the others.
import type { Command } from "commander";
import { KeyChange, KeyView } from "../../../shared/keys.ts";
import { connect } from "../../api/connection.ts";
import { addKeyArgument, keyPath } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import { addKeyOptions, keyBody, type KeyFieldOptions } from "../../options/key-fields.ts";
import { keyFields } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { bold, fieldsText } from "../../terminal/table.ts";

type Options = KeyFieldOptions & ServiceOptions;

export function addKeysChange(keys: Command, io: CommandContext): void {
  const command = addKeyArgument(keys.command("change"))
    .summary("set a key's limits and permissions")
    .description("Sets the given properties of a key and keeps the others. It takes effect within a second.")
    .option("--name <name>", "the client or person that uses it");
  addKeyOptions(command).option("--no-address-exempt", "limit it by client address again");
  addServiceOptions(command).action((id: string, options: Options) => change(id, options, io));
  addExamples(command, [
    "isha keys change 3fA9kQ2mXw7b --tokens-per-month 10M --concurrent 4",
    "isha keys change 3fA9kQ2mXw7b --agents all --tokens-per-month none --expires none",
  ]);
}

async function change(id: string, options: Options, io: CommandContext): Promise<void> {
  const body = keyBody(options, KeyChange);
  const api = await connect(options, io);
  const { value, raw } = await api.request(KeyView, keyPath(id), { method: "PATCH", body });
  writeAnswer(
    options,
    io,
    raw,
    () => `${bold("Changed. The key now:", io.out)}\n\n${fieldsText(keyFields(value, io.now()))}`,
  );
}
