// `isha fleet`: shows the state of the boxes and their servers, alarms first.
import type { Command } from "commander";
import { FleetView } from "../../shared/fleet-view.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../options/common.ts";
import { connect } from "../api/connection.ts";
import { fleetText } from "../terminal/fleet-text.ts";
import type { CommandContext } from "../context.ts";

export function addFleet(program: Command, io: CommandContext): void {
  const command = program
    .command("fleet")
    .summary("the state of boxes and servers, alarms first")
    .description(
      "Shows the active alarms with what to do, and every server of every box: its state, busy slots, waiting calls, " +
        "tokens per second, and its GPU memory against the fleet file's plan. An unknown figure is a dash.",
    );
  addServiceOptions(command).action((options: ServiceOptions) => show(options, io));
  addExamples(command, ["isha fleet", "isha fleet --json | jq '.alarms'"]);
}

async function show(options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await api.request(FleetView, "/admin/fleet");
  writeAnswer(options, io, raw, () => fleetText(value, io.out));
}
