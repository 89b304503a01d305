// `isha box restart <box> <port>`: restarts a llama-server through PM2, after a confirmation.
import type { Command } from "commander";
import { FleetView, type FleetServerView } from "../../../shared/fleet-view.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import { sendRestart } from "../../api/box-commands.ts";
import { connect } from "../../api/connection.ts";
import { addBoxArgument, addPortArgument } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeJson, type ServiceOptions } from "../../options/common.ts";
import { CommandFailure, EXIT } from "../../failure.ts";
import { addYesOption, confirm, requireConfirmation, type ConfirmOptions } from "../../terminal/confirm.ts";
import { measuredText } from "../../../shared/duration.ts";
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
      "Restarts a llama-server through PM2, and waits until it is ready: up to a minute. A stream that runs on it continues on another server, or once this one is " +
        "back, if the same answer can continue; other streams break. It asks for confirmation first.",
    );
  addServiceOptions(addYesOption(command)).action((box: string, port: number, options: Options) =>
    restart({ box, port }, options, io),
  );
  const server = `${io.example.box} ${io.example.port}`;
  addExamples(command, [`isha box restart ${server}`, `isha box restart ${server} --yes`]);
}

async function restart(target: Target, options: Options, io: CommandContext): Promise<void> {
  requireConfirmation(options, io);
  const api = await connect(options, io);
  if (options.yes !== true) await confirmRestart(api, target, io);
  const { box, port } = target;
  const { value, raw } = await sendRestart(api, box, port);
  const { outcome, tookMs, text, advice } = value;
  if (options.json === true) writeJson(io.out, raw);
  if (outcome === "ready") {
    if (options.json !== true) io.out.write(`restarted, ready after ${measuredText(tookMs ?? 0)}\n`);
    return;
  }
  throw new CommandFailure(EXIT.failed, `${plain(text)}.`, { advice: plain(advice) });
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
