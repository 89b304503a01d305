// `isha keys create`: makes a key and shows its secret once.
import type { Command } from "commander";
import { KeyWithSecret, NewKey } from "../../../shared/keys.ts";
import { usageFailure } from "../../failure.ts";
import { connect } from "../../api/connection.ts";
import { addExamples, addServiceOptions, type ServiceOptions } from "../../options/common.ts";
import { addKeyOptions, keyBody, type KeyFieldOptions } from "../../options/key-fields.ts";
import { addSaveOption, showNewKey, type SaveOptions } from "../../terminal/new-secret.ts";
import type { CommandContext } from "../../context.ts";

type Options = KeyFieldOptions & SaveOptions & ServiceOptions;

export function addKeysCreate(keys: Command, io: CommandContext): void {
  const command = keys
    .command("create")
    .summary("make a key; its secret is shown only once")
    .description(
      "Makes a key and shows its secret, only once. Without options it is an ordinary client's key.",
    )
    // Not commander's required option: that is checked before unknown ones, and a mistyped --name is unknown.
    .option("--name <name>", "the client or person that uses it (required)");
  addServiceOptions(addSaveOption(addKeyOptions(command))).action((options: Options) => create(options, io));
  addExamples(command, [
    `isha keys create --name "Riverside Clinic" --agents ${io.example.agents} --tokens-per-month 5M`,
    "isha keys create --name backend --per-second 500 --concurrent 8 --address-exempt",
    "isha keys create --name ops --scopes infer,admin --expires 2030-01-31 --save ops.key",
  ]);
}

async function create(options: Options, io: CommandContext): Promise<void> {
  if (options.name === undefined) throw usageFailure("required option '--name <name>' not specified");
  const body = keyBody(options, NewKey);
  const api = await connect(options, io);
  await showNewKey(
    options,
    io,
    () => api.request(KeyWithSecret, "/admin/keys", { method: "POST", body }),
    ({ name }) => `Made the key “${name}”.`,
  );
}
