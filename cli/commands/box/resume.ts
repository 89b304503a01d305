// `isha box resume <box>`: ends a drain.
import type { Command } from "commander";
import { deliveryText, sendBoxCommand } from "../../api/box-commands.ts";
import { connect } from "../../api/connection.ts";
import { addBoxArgument } from "../../options/arguments.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../../options/common.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

export function addBoxResume(boxes: Command, io: CommandContext): void {
  const command = addBoxArgument(boxes.command("resume"))
    .summary("end a drain: the box takes calls again")
    .description("Ends a drain: the box takes calls again. On a box that isn't drained it changes nothing.");
  addServiceOptions(command).action((box: string, options: ServiceOptions) => resume(box, options, io));
  addExamples(command, [`isha box resume ${io.example.box}`]);
}

async function resume(box: string, options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await sendBoxCommand(api, box, "resume");
  writeAnswer(options, io, raw, () => `${plain(value.box)} takes calls again. ${deliveryText(value)}\n`);
}
