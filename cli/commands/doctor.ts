// `isha doctor`: checks a deployment from this machine, and the machine itself if it is a box; for each finding it prints
// the command that fixes it.
import { join } from "node:path";
import type { Command } from "commander";
import type { Box, FleetConfig } from "../../shared/fleet.ts";
import { chooseService } from "../api/connection.ts";
import type { CommandContext } from "../context.ts";
import { runChecks, type Result, type Surroundings } from "../doctor/check.ts";
import { BOX_CHECKS } from "../doctor/box-checks.ts";
import { EDGE_CHECKS } from "../doctor/edge-checks.ts";
import { realMachine } from "../doctor/machine.ts";
import { PM2_CHECKS } from "../doctor/pm2-checks.ts";
import { SERVER_CHECKS } from "../doctor/server-checks.ts";
import { tunnelChecks } from "../doctor/tunnel-checks.ts";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";
import {
  addExamples,
  addServiceOptions,
  writeJson,
  type OutputOptions,
  type ServiceOptions,
} from "../options/common.ts";
import { usualSecretFolder } from "../secrets/secret-files.ts";
import { doctorText } from "../terminal/doctor-text.ts";

interface DoctorOptions extends ServiceOptions {
  readonly box?: string;
}

export function addDoctor(program: Command, io: CommandContext): void {
  const command = program
    .command("doctor")
    .summary("check the deployment, with the command that fixes each finding")
    .description(
      "Checks the service, the tunnels and Access from here; on a box also PM2, the agent, the llama-servers, the card, disk " +
        "and clock, and that no log contains a prompt. The checks run at once, each with its own time limit.",
    )
    .option(
      "--box <name>",
      "this machine is that box (default: the fleet's only box, if PM2 has a folder here)",
    );
  addServiceOptions(command).action((options: DoctorOptions) => doctor(options, io));
  addVerdictCodes(command);
  addExamples(command, ["isha doctor", "isha doctor --box box1", "isha doctor --json | jq '.[].check'"]);
}

/** The exit codes of `showResults`, in the command's help. */
export function addVerdictCodes(command: Command): void {
  command.addHelpText(
    "after",
    "\nExit codes: 0 everything fine or noted, 1 something is wrong, 2 something could not be checked.",
  );
}

async function doctor(options: DoctorOptions, io: CommandContext): Promise<void> {
  const results = await doctorResults(await surroundings(options, io), io);
  if (io.signal.aborted)
    throw new CommandFailure(EXIT.interrupted, "Interrupted; the checks are incomplete.");
  showResults(results, options, io);
}

/** Prints the results of checks. @throws CommandFailure that names those which are wrong, else those not checked */
export function showResults(
  results: readonly Result[],
  options: OutputOptions,
  io: Pick<CommandContext, "out">,
): void {
  if (options.json === true) writeJson(io.out, results);
  else io.out.write(doctorText(results, io.out));
  const failed = results.filter(({ verdict }) => verdict === "wrong").map(({ check }) => check);
  if (failed.length > 0) throw new CommandFailure(EXIT.failed, `Wrong: ${failed.join(", ")}.`);
  const open = results.filter(({ verdict }) => verdict === "unknown").map(({ check }) => check);
  if (open.length > 0) throw new CommandFailure(EXIT.usage, `Not checked: ${open.join(", ")}.`);
}

/** Also part of `isha report`. */
export function doctorResults(around: Surroundings, { signal }: CommandContext): Promise<Result[]> {
  const checks = [
    ...EDGE_CHECKS,
    ...tunnelChecks(around.fleet),
    ...BOX_CHECKS,
    ...PM2_CHECKS,
    ...SERVER_CHECKS,
  ];
  return runChecks(checks, around, signal);
}

export async function surroundings(options: DoctorOptions, io: CommandContext): Promise<Surroundings> {
  const fleet = await io.fleet();
  const machine = realMachine(io.env, io.now);
  const pm2Home = pm2HomeOf(io);
  const isBox = options.box !== undefined || (await machine.mode(pm2Home)) !== null;
  const { url, key } = await chooseService(options, io);
  return {
    command: options.box === undefined ? "isha doctor" : `isha doctor --box ${options.box}`,
    fleet,
    machine,
    url,
    adminKey: key,
    box: isBox ? boxOf(fleet, options.box ?? io.env["ISHA_BOX"]) : null,
    agentUrl: `http://127.0.0.1:${io.env["AGENT_PORT"] ?? "8000"}`,
    secretFolder: usualSecretFolder(io),
    pm2Home,
  };
}

/** PM2's folder on this machine. */
export const pm2HomeOf = ({ env, homeFolder }: Pick<CommandContext, "env" | "homeFolder">): string =>
  env["PM2_HOME"] ?? join(homeFolder, ".pm2");

function boxOf({ boxes }: FleetConfig, name: string | undefined): Box {
  const found = name === undefined && boxes.length === 1 ? boxes[0] : boxes.find((box) => box.name === name);
  if (found !== undefined) return found;
  const names = boxes.map((box) => box.name).join(", ");
  throw usageFailure(
    name === undefined
      ? "The fleet has several boxes."
      : `The fleet file has no box ${JSON.stringify(name)}.`,
    `Name this one: --box <name>; they are ${names}.`,
  );
}
