// `isha box drain <box>`: stops new calls to a box until it is resumed. If no other box serves, it asks first.
import type { Command } from "commander";
import { FleetView, type FleetBoxView } from "../../../shared/fleet-view.ts";
import type { AdminApi } from "../../api/admin-api.ts";
import { deliveryText, sendBoxCommand } from "../../api/box-commands.ts";
import { connect } from "../../api/connection.ts";
import { addBoxArgument } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import type { CommandContext } from "../../context.ts";
import { addYesOption, confirm, requireConfirmation, type ConfirmOptions } from "../../terminal/confirm.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = ServiceOptions & ConfirmOptions;

export function addBoxDrain(boxes: Command, io: CommandContext): void {
  const command = addBoxArgument(boxes.command("drain"))
    .summary("stop new calls to a box")
    .description(
      "Stops new calls to a box until it is resumed, even if its agent restarts. Calls that run or wait there finish; " +
        "new ones go to other boxes. If no other box serves, new calls are refused meanwhile, so it asks for " +
        "confirmation first. Drain a box before work on cloudflared, the machine or its driver.",
    );
  addServiceOptions(addYesOption(command)).action((box: string, options: Options) => drain(box, options, io));
  addExamples(command, [`isha box drain ${io.example.box}`, `isha box drain ${io.example.box} --yes`]);
}

async function drain(box: string, options: Options, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const isLast = await isLastThatServes(api, box);
  if (isLast && options.yes !== true) {
    requireConfirmation(options, io);
    await confirm(io, `Drain ${box}? No other box serves: ${CONSEQUENCE}.`, "Nothing was drained.");
  }
  const { value, raw } = await sendBoxCommand(api, box, "drain");
  const name = plain(value.box);
  const consequence = isLast ? `Nothing is served now: ${CONSEQUENCE}.\n` : "";
  writeAnswer(
    options,
    io,
    raw,
    () =>
      `${name} takes no new calls; its current calls finish. ${deliveryText(value)}\n${consequence}` +
      `It is empty when \`isha status\` shows no busy slots and no waiting calls. \`isha box resume ${name}\` ends the drain.\n`,
  );
}

const CONSEQUENCE = "until it is resumed, every new call is refused (503 draining)";

/** Whether calls would have nowhere to go. An unknown box needs no question: the service refuses the command. */
async function isLastThatServes(api: AdminApi, box: string): Promise<boolean> {
  const { value } = await api.request(FleetView, "/admin/fleet");
  const drained = value.boxes.find(({ name }) => name === box);
  // A box that is drained already serves nothing more to lose.
  if (drained === undefined || drained.state === "draining") return false;
  return !value.boxes.some((other) => other !== drained && serves(other));
}

/** Whether calls can go to it now, or after its servers have loaded. */
function serves({ state, servers }: FleetBoxView): boolean {
  return state === "up" && servers.some((server) => ["ready", "slow", "loading"].includes(server.state));
}
