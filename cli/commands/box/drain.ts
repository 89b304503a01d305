// `isha box drain <box>`: stops new calls to a box until it is resumed.
import type { Command } from "commander";
import { deliveryText, sendBoxCommand } from "../../api/box-commands.ts";
import { connect } from "../../api/connection.ts";
import { addBoxArgument } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

export function addBoxDrain(boxes: Command, io: CommandContext): void {
  const command = addBoxArgument(boxes.command("drain"))
    .summary("stop new calls to a box")
    .description(
      "Stops new calls to a box until it is resumed, even if its agent restarts. Calls that run or wait there finish; " +
        "new ones go to other boxes. Drain a box before work on cloudflared, the machine or its driver.",
    );
  addServiceOptions(command).action((box: string, options: ServiceOptions) => drain(box, options, io));
  addExamples(command, ["isha box drain box1"]);
}

async function drain(box: string, options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await sendBoxCommand(api, box, "drain");
  const name = plain(value.box);
  writeAnswer(
    options,
    io,
    raw,
    () =>
      `${name} takes no new calls; its current calls finish. ${deliveryText(value)}\n` +
      `It is empty when \`isha status\` shows no busy slots and no waiting calls. \`isha box resume ${name}\` ends the drain.\n`,
  );
}
