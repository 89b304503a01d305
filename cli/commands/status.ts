// `isha status`: shows the state of the boxes and their servers, alarms first, and whether edge, agents and this machine
// have the same fleet file.
import { createHash } from "node:crypto";
import type { Command } from "commander";
import { FleetView } from "../../shared/fleet-view.ts";
import { fleetText as hashedText } from "../../shared/wire.ts";
import { connect } from "../api/connection.ts";
import type { CommandContext } from "../context.ts";
import { CommandFailure } from "../failure.ts";
import { addExamples, addServiceOptions, writeAnswer, type ServiceOptions } from "../options/common.ts";
import { fleetText } from "../terminal/fleet-text.ts";
import { hashesText } from "../terminal/hashes-text.ts";

export function addStatus(program: Command, io: CommandContext): void {
  const command = program
    .command("status")
    .alias("fleet")
    .summary("the state of boxes and servers, alarms first")
    .description(
      "Shows the active alarms with what to do, and every server of every box: its state, busy slots, waiting calls, " +
        "tokens per second, and its GPU memory against the fleet file's plan. An unknown figure is a dash. The last lines " +
        "compare the fleet files of this machine, the edge and the boxes by their hashes.",
    );
  addServiceOptions(command).action((options: ServiceOptions) => show(options, io));
  addExamples(command, ["isha status", "isha status --json | jq '.alarms'"]);
}

async function show(options: ServiceOptions, io: CommandContext): Promise<void> {
  const api = await connect(options, io);
  const { value, raw } = await api.request(FleetView, "/admin/fleet");
  const local = options.json === true ? null : await localHash(io);
  writeAnswer(options, io, raw, () => `${fleetText(value, io.out)}\n${hashesText(value, local)}`);
}

/** @returns null if this machine has no valid fleet file: the service's state is shown all the same */
async function localHash(io: CommandContext): Promise<string | null> {
  try {
    return createHash("sha256")
      .update(hashedText(await io.fleet()))
      .digest("hex");
  } catch (error) {
    if (error instanceof CommandFailure) return null;
    throw error;
  }
}
