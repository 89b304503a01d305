// `isha box drain <box>`: the box takes no further calls until it is resumed.
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

export function addBoxDrain(boxes: Command, around: CommandContext): void {
  const command = addBoxArgument(boxes.command("drain"))
    .summary("a box takes no further calls")
    .description(
      "Has a box take no further calls, until it is resumed: also after a restart of its agent. Calls that run or " +
        "wait there finish; new ones go to other boxes. Drain before cloudflared, the machine or its driver is touched.",
    );
  addServiceOptions(command).action((box: string, options: Options) => drain(box, options, around));
  addExamples(command, ["isha box drain box1"]);
}

async function drain(box: string, options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { value, raw } = await api.ask(Ordered, `${boxPath(box)}/drain`, { method: "POST" });
  if (options.json === true) return writeJson(around.out, raw);
  const name = plain(value.box);
  around.out.write(
    `${name} takes no further calls; those it has finish. ${toldText(value)}\n` +
      `It is empty once \`isha fleet\` shows no slot taken and nobody waiting; \`isha box resume ${name}\` ends this.\n`,
  );
}
