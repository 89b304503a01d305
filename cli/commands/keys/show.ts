// `isha keys show <id>`: one key, with all it may.
import type { Command } from "commander";
import { KeyView } from "../../../shared/keys.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { addKeyArgument, keyPath } from "../../options/key-argument.ts";
import { keyFields } from "../../terminal/key-text.ts";
import type { CommandContext } from "../../context.ts";
import { fieldsText } from "../../terminal/table.ts";

type Options = OutputOptions & ConnectionOptions;

export function addKeysShow(keys: Command, around: CommandContext): void {
  const command = keys.command("show").summary("one key").description("Shows a key, but never its secret.");
  addServiceOptions(addKeyArgument(command)).action((id: string, options: Options) =>
    show(id, options, around),
  );
  addExamples(command, ["isha keys show 3fA9kQ2mXw7b"]);
}

async function show(id: string, options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { value, raw } = await api.ask(KeyView, keyPath(id));
  if (options.json === true) writeJson(around.out, raw);
  else around.out.write(fieldsText(keyFields(value, around.now())));
}
