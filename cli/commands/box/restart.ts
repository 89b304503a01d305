// `isha box restart <box> <port>`: restarts a llama-server through PM2, after a confirmation.
import type { Command } from "commander";
import { FleetView, type FleetServerView } from "../../../shared/fleet-view.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import { sendBoxCommand } from "../../api/box-commands.ts";
import { connect } from "../../api/connection.ts";
import { addBoxArgument, addPortArgument } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import { addYesOption, confirm, requireConfirmation, type ConfirmOptions } from "../../terminal/confirm.ts";
import { countText } from "../../terminal/format.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = ServiceOptions & ConfirmOptions;

interface Target {
  readonly box: string;
  readonly port: number;
}

export function addBoxRestart(boxes: Command, io: CommandContext): void {
  const command = addPortArgument(addBoxArgument(boxes.command("restart")))
    .summary("restart a server")
    .description(
      "Restarts a llama-server through PM2. A stream that runs on it continues on another server, or once this one is " +
        "back, if the same answer can continue; other streams break. It asks for confirmation first.",
    );
  addServiceOptions(addYesOption(command)).action((box: string, port: number, options: Options) =>
    restart({ box, port }, options, io),
  );
  addExamples(command, ["isha box restart box1 9001", "isha box restart box1 9001 --yes"]);
}

async function restart(target: Target, options: Options, io: CommandContext): Promise<void> {
  requireConfirmation(options, io);
  const api = await connect(options, io);
  if (options.yes !== true) await confirmRestart(api, target, io);
  const { box, port } = target;
  const { raw } = await sendBoxCommand(api, box, `servers/${port}/restart`);
  writeAnswer(
    options,
    io,
    raw,
    () => `Requested a restart of ${port} on ${box}. \`isha status\` shows when it is back.\n`,
  );
}

async function confirmRestart(api: AdminApi, { box, port }: Target, io: CommandContext): Promise<void> {
  const { value } = await api.request(FleetView, "/admin/fleet");
  const servers = value.boxes.find(({ name }) => name === box)?.servers;
  const server = servers?.find((candidate) => candidate.port === port);
  // An unknown server needs no question: the service refuses the command and lists the known ones.
  if (server === undefined) return;
  await confirm(io, `Restart ${port} on ${box} (${serverText(server)})?`, "Nothing was restarted.");
}

function serverText({ model, state, busy }: FleetServerView): string {
  const calls =
    busy === 0 ? "no calls running" : `${countText(busy)} ${busy === 1 ? "call" : "calls"} running`;
  return `${plain(model)}, ${state}, ${calls}`;
}
