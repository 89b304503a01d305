// `isha box resume <box>`: a box that was drained takes calls again.
import type { Command } from "commander";
import { addBoxArgument, boxPath, Ordered, toldText } from "../../options/box-argument.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
} from "../../options/common-options.ts";
import { connect, type ConnectionOptions } from "../../api/connection.ts";
import type { CommandContext } from "../../context.ts";
import { plain } from "../../terminal/safe-text.ts";

type Options = OutputOptions & ConnectionOptions;

export function addBoxResume(boxes: Command, around: CommandContext): void {
  const command = addBoxArgument(boxes.command("resume"))
    .summary("a drained box takes calls again")
    .description("Has a box that was drained take calls again. On one that wasn't it changes nothing.");
  addServiceOptions(command).action((box: string, options: Options) => resume(box, options, around));
  addExamples(command, ["isha box resume box1"]);
}

async function resume(box: string, options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { value, raw } = await api.ask(Ordered, `${boxPath(box)}/resume`, { method: "POST" });
  if (options.json === true) writeJson(around.out, raw);
  else around.out.write(`${plain(value.box)} takes calls again. ${toldText(value)}\n`);
}
