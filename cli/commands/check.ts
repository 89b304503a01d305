// `isha check`: checks a clone before it is deployed; prints each finding with its fix, as `isha doctor` does.
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import type { FleetConfig } from "../../shared/fleet.ts";
import { chooseService } from "../api/connection.ts";
import { projectChecks, PROJECT_DEADLINE_MS } from "../check/checks.ts";
import { PROJECT_FLEET, PROJECT_ROOT, type Project } from "../check/project.ts";
import { readEnvironments } from "../check/wrangler.ts";
import type { CommandContext } from "../context.ts";
import { runChecks, wrong, type Check, type Result, type Surroundings } from "../doctor/check.ts";
import { EDGE_CHECKS } from "../doctor/edge-checks.ts";
import { realMachine } from "../doctor/machine.ts";
import { tunnelChecks } from "../doctor/tunnel-checks.ts";
import { CommandFailure, stopIfInterrupted } from "../failure.ts";
import { addExamples, addServiceOptions, type ServiceOptions } from "../options/common.ts";
import { usualSecretFolder } from "../secrets/secret-files.ts";
import { addVerdictCodes, pm2HomeOf, showResults } from "./doctor.ts";
import { fleetFileOf } from "./generate.ts";

interface CheckOptions extends ServiceOptions {
  readonly online?: true;
}

export function addCheck(program: Command, io: CommandContext): void {
  const command = program
    .command("check")
    .summary("check this clone before it is deployed")
    .description(
      "Checks the fleet file, the secrets' files, generated files, and wrangler.toml: its routes, bindings in every " +
        "environment, migrations, development keys; bundles the Worker as for a deployment, and shows which plan of " +
        "Cloudflare it needs. Nothing is uploaded.",
    )
    .option("--online", "also check the deployed service, the tunnels and Access, as isha doctor does");
  addServiceOptions(command).action((options: CheckOptions) => check(options, io));
  addVerdictCodes(command);
  addExamples(command, ["isha check", "isha check --online", "isha check --json | jq '.[].check'"]);
}

async function check(options: CheckOptions, io: CommandContext): Promise<void> {
  const results = await checkProject(options, io);
  stopIfInterrupted(io.signal);
  showResults(results, options, io);
}

/** Also what `isha deploy` does first. */
export async function checkProject(options: CheckOptions, io: CommandContext): Promise<Result[]> {
  stopIfInterrupted(io.signal);
  let fleet: FleetConfig;
  try {
    fleet = await io.fleet();
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    // Everything else follows from this file.
    return [
      { check: "fleet-file", ...wrong(oneLine(error.message), "Correct the fields; then: isha check") },
    ];
  }
  const environments = await readEnvironments(PROJECT_ROOT).catch((error: unknown) =>
    oneLine(messageOf(error)),
  );
  if (typeof environments === "string") {
    return [{ check: "wrangler-toml", ...wrong(environments, "Correct wrangler.toml; then: isha check") }];
  }
  const machine = realMachine(io.env, io.now);
  const secretFolder = usualSecretFolder(io);
  const builtWith = await projectFleet(io);
  const project: Project = {
    root: PROJECT_ROOT,
    fleet,
    fleetFile: fleetFileOf(io),
    builtWith,
    environments,
    secretFolder,
    machine,
  };
  const online = options.online === true;
  const checks: Check[] = [
    ...projectChecks(project),
    ...(online ? [...EDGE_CHECKS, ...tunnelChecks(fleet)] : []),
  ];
  const { url, key } = online
    ? await chooseService(options, io)
    : { url: `https://${fleet.domain}`, key: null };
  const around: Surroundings = {
    command: online ? "isha check --online" : "isha check",
    fleet,
    machine,
    url,
    adminKey: key,
    box: null,
    agentUrl: "",
    secretFolder,
    pm2Home: pm2HomeOf(io),
  };
  return runChecks(checks, around, io.signal, PROJECT_DEADLINE_MS);
}

/** With ISHA_FLEET set: the file that the Worker is built with all the same. */
async function projectFleet(io: CommandContext): Promise<FleetConfig | null> {
  if ([null, PROJECT_FLEET].includes(fleetFileOf(io))) return null;
  const module = (await import(pathToFileURL(PROJECT_FLEET).href)) as { readonly default: FleetConfig };
  return module.default;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Without the line breaks and list marks of a longer message. */
const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*(?:- )?/g, "; ").replaceAll(":;", ":");
