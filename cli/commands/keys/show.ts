// `isha keys show <id>`: shows a key's properties, never its secret.
import type { Command } from "commander";
import { KeyView } from "../../../shared/keys.ts";
import { connect } from "../../api/connection.ts";
import { addKeyArgument, keyPath } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import { keyFields } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { fieldsText } from "../../terminal/table.ts";

export function addKeysShow(keys: Command, io: CommandContext): void {
  const command = keys
    .command("show")
    .summary("one key")
    .description("Shows a key's properties, but never its secret.");
  addServiceOptions(addKeyArgument(command)).action((id: string, options: ServiceOptions) =>
    show(id, options, io),
  );
  addExamples(command, ["isha keys show 3fA9kQ2mXw7b"]);
}

async function show(id: string, options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await api.request(KeyView, keyPath(id));
  writeAnswer(options, io, raw, () => fieldsText(keyFields(value, io.now())));
}
