// `isha keys revoke <id>`: stops a key permanently, after a confirmation.
import type { Command } from "commander";
import { KeyView } from "../../../shared/keys.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import { connect } from "../../api/connection.ts";
import { addKeyArgument, keyPath } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import { addYesOption, confirm, requireConfirmation, type ConfirmOptions } from "../../terminal/confirm.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = ServiceOptions & ConfirmOptions;

export function addKeysRevoke(keys: Command, io: CommandContext): void {
  const command = addKeyArgument(keys.command("revoke"))
    .summary("stop a key permanently")
    .description(
      "Stops a key permanently. Within a second no new call is admitted with it; running calls finish. It asks for " +
        "confirmation first.",
    );
  addServiceOptions(addYesOption(command)).action((id: string, options: Options) => revoke(id, options, io));
  addExamples(command, ["isha keys revoke 3fA9kQ2mXw7b", "isha keys revoke 3fA9kQ2mXw7b --yes"]);
}

async function revoke(id: string, options: Options, io: CommandContext): Promise<void> {
  requireConfirmation(options, io);
  const api = await connect(options, io);
  if (options.yes !== true) await confirmRevocation(api, id, io);
  const { value, raw } = await api.request(KeyView, keyPath(id), { method: "DELETE" });
  writeAnswer(
    options,
    io,
    raw,
    () => `Revoked ${value.id} (“${plain(value.name)}”). It stops working within a second.\n`,
  );
}

async function confirmRevocation(api: AdminApi, id: string, io: CommandContext): Promise<void> {
  const { value } = await api.request(KeyView, keyPath(id));
  await confirm(io, `Revoke ${id} (“${plain(value.name)}”) permanently?`, "Nothing was revoked.");
}
