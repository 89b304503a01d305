// `isha box restart <box> <port>`: PM2 restarts a llama-server. It asks first.
import type { Command } from "commander";
import { FleetView, type FleetServerView } from "../../../shared/fleet-view.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import { addBoxArgument, addPortArgument, boxPath, Ordered } from "../../options/box-argument.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import { countText } from "../../terminal/figures.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = OutputOptions & ConnectionOptions & { readonly yes?: true };

interface Wanted {
  readonly box: string;
  readonly port: number;
}

export function addBoxRestart(boxes: Command, around: CommandContext): void {
  const command = addPortArgument(addBoxArgument(boxes.command("restart")))
    .summary("PM2 restarts a server")
    .description(
      "Has PM2 restart a llama-server. Streams that run on it go on elsewhere or once it is back, where the same " +
        "answer can go on; the others break. It asks first.",
    )
    .option("--yes", "don't ask");
  addServiceOptions(command).action((box: string, port: number, options: Options) =>
    restart({ box, port }, options, around),
  );
  addExamples(command, ["isha box restart box1 9001", "isha box restart box1 9001 --yes"]);
}

async function restart(wanted: Wanted, options: Options, around: CommandContext): Promise<void> {
  if (options.yes !== true && around.ask === null) {
    throw usageFailure("Nobody is at the terminal to confirm this.", "Add --yes if it is meant.");
  }
  const api = await connect(options, around);
  if (options.yes !== true) await confirm(api, wanted, around);
  const { box, port } = wanted;
  const { raw } = await api.ask(Ordered, `${boxPath(box)}/servers/${port}/restart`, { method: "POST" });
  if (options.json === true) writeJson(around.out, raw);
  else around.out.write(`PM2 was told to restart ${port} on ${box}. \`isha fleet\` shows when it is back.\n`);
}

async function confirm(api: AdminApi, { box, port }: Wanted, around: CommandContext): Promise<void> {
  const { value } = await api.ask(FleetView, "/admin/fleet");
  const servers = value.boxes.find(({ name }) => name === box)?.servers;
  const server = servers?.find((one) => one.port === port);
  // The service says which ones there are.
  if (server === undefined) return;
  const answer = await around.ask?.(`Restart ${port} on ${box} (${serverText(server)})? [y/N] `);
  if (!/^y(?:es)?$/i.test(answer?.trim() ?? "")) {
    throw new CommandFailure(EXIT.failed, "Nothing was restarted.");
  }
}

function serverText({ model, state, busy }: FleetServerView): string {
  const calls =
    busy === 0 ? "no calls running" : `${countText(busy)} ${busy === 1 ? "call" : "calls"} running`;
  return `${plain(model)}, ${state}, ${calls}`;
}
