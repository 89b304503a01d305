// `isha keys create`: a new key, its secret told once.
import type { Command } from "commander";
import { KeyWithSecret, NewKey } from "../../../shared/keys.ts";
import { addExamples, addServiceOptions } from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { addKeyOptions, keyBody, type KeyFieldOptions } from "../../options/key-fields.ts";
import { addSaveOption, tellNewKey, type SaveOptions } from "../../terminal/new-secret.ts";
import type { CommandContext } from "../../context.ts";

type Options = KeyFieldOptions & SaveOptions & ConnectionOptions;

export function addKeysCreate(keys: Command, around: CommandContext): void {
  const command = keys
    .command("create")
    .summary("make a key; its secret is shown this once")
    .description("Makes a key and shows its secret, once. What isn't said is as a plain client's key has it.")
    .requiredOption("--name <name>", "whose it is");
  addServiceOptions(addSaveOption(addKeyOptions(command))).action((options: Options) =>
    create(options, around),
  );
  addExamples(command, [
    'isha keys create --name "Riverside Clinic" --agents Intake,Radiology --tokens-per-month 5M',
    "isha keys create --name backend --per-second 500 --concurrent 8 --address-exempt",
    "isha keys create --name ops --scopes infer,admin --expires 2027-01-31 --save ops.key",
  ]);
}

async function create(options: Options, around: CommandContext): Promise<void> {
  const body = keyBody(options, NewKey);
  const api = await connect(options, around);
  await tellNewKey(
    options,
    around,
    () => api.ask(KeyWithSecret, "/admin/keys", { method: "POST", body }),
    ({ name }) => `Made the key “${name}”.`,
  );
}
