// `isha fleet`: how the boxes and their servers are, with what needs somebody first.
import type { Command } from "commander";
import { FleetView } from "../../shared/fleet-view.ts";
import { addExamples, addServiceOptions, writeJson, type OutputOptions } from "../options/common-options.ts";
import { connect, type ConnectionOptions } from "../api/connection.ts";
import { fleetPage } from "../terminal/fleet-text.ts";
import type { CommandContext } from "../context.ts";

type Options = OutputOptions & ConnectionOptions;

export function addFleet(program: Command, around: CommandContext): void {
  const command = program
    .command("fleet")
    .summary("how the boxes and their servers are, alarms first")
    .description(
      "Shows the alarms that hold, with what to do, and every server of every box: its state, slots taken, calls that " +
        "wait, tokens a second, and the GPU memory it holds against what the fleet file plans. A figure that nobody " +
        "could tell is a dash.",
    );
  addServiceOptions(command).action((options: Options) => show(options, around));
  addExamples(command, ["isha fleet", "isha fleet --json | jq '.alarms'"]);
}

async function show(options: Options, around: CommandContext): Promise<void> {
  const api = await connect(options, around);
  const { value, raw } = await api.ask(FleetView, "/admin/fleet");
  if (options.json === true) writeJson(around.out, raw);
  else around.out.write(fleetPage(value, around.out));
}
