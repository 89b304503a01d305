// Checks the files of a clone and of its operator: the fleet file, the secrets, and what is generated from the fleet file.
import { isDeepStrictEqual, parseEnv } from "node:util";
import { join } from "node:path";
import { fine, unknown, wrong, type Outcome } from "../doctor/check.ts";
import { isOpenToOthers } from "../files.ts";
import { generatedFiles, type GeneratedFile } from "../generate/files.ts";
import { flagsInHelp } from "../generate/llama-flags.ts";
import { objectOf } from "../json-object.ts";
import { accessAdvice, missingAccessSecrets, SECRET_FILES } from "../secrets/secret-files.ts";
import type { Project } from "./project.ts";

export function checkFleetFile({ fleet, fleetFile, builtWith }: Project): Promise<Outcome> {
  const servers = fleet.boxes.reduce((sum, box) => sum + box.servers.length, 0);
  const text = `is valid: ${fleet.boxes.length} ${fleet.boxes.length === 1 ? "box" : "boxes"}, ${servers} servers, ${fleet.domain}`;
  return Promise.resolve(
    builtWith === null || isDeepStrictEqual(builtWith, fleet)
      ? fine(text)
      : wrong(
          `the edge is built with fleet.config.ts, which differs from ISHA_FLEET (${fleetFile ?? ""})`,
          "Copy it over fleet.config.ts, or unset ISHA_FLEET.",
        ),
  );
}

export async function checkSecretFiles(project: Project): Promise<Outcome> {
  const { secretFolder, machine } = project;
  const present: string[] = [];
  for (const name of Object.values(SECRET_FILES)) {
    const path = join(secretFolder, name);
    const mode = await machine.mode(path);
    if (mode === null) continue;
    if (isOpenToOthers(mode)) return wrong(`${path} can be read by other users`, `chmod 600 ${path}`);
    present.push(name);
  }
  if (present.length === 0) return unknown(`${secretFolder} has no secrets`, "isha secrets init");
  const fault = await secretFault(project);
  if (fault !== null) return wrong(fault, "isha secrets init");
  const missing = await missingAccess(project);
  return missing.length === 0
    ? fine(`${present.join(", ")} in ${secretFolder} are for their owner alone`)
    : wrong(
        `${SECRET_FILES.worker} lacks ${missing.join(", ")}, and the fleet file has tunnel.access`,
        accessAdvice("isha secrets init"),
      );
}

/** A box has no file with the Worker's secrets. */
async function missingAccess({ fleet, secretFolder, machine }: Project): Promise<string[]> {
  const worker = objectOf((await machine.read(join(secretFolder, SECRET_FILES.worker))) ?? "");
  return worker === null ? [] : missingAccessSecrets(fleet.boxes, worker);
}

async function secretFault({ secretFolder, machine, environments }: Project): Promise<string | null> {
  const workerText = await machine.read(join(secretFolder, SECRET_FILES.worker));
  if (workerText === null) return null;
  const worker = objectOf(workerText);
  if (worker === null) return `${SECRET_FILES.worker} is no JSON object; move it away`;
  const required = new Set([...environments.values()].flatMap(({ secrets }) => secrets.required));
  const missing = [...required].filter((name) => typeof worker[name] !== "string" || worker[name] === "");
  if (missing.length > 0) return `${SECRET_FILES.worker} lacks ${missing.join(", ")}`;
  if ("DEV_KEYS" in worker) return `${SECRET_FILES.worker} has DEV_KEYS, which lets known keys in; remove it`;
  const agent = parseEnv((await machine.read(join(secretFolder, SECRET_FILES.agentEnv))) ?? "");
  const boxSecret = agent["BOX_SECRET"] ?? worker["BOX_SECRET"];
  return boxSecret === worker["BOX_SECRET"]
    ? null
    : `${SECRET_FILES.agentEnv} and ${SECRET_FILES.worker} have different values of BOX_SECRET; move the wrong file away`;
}

const ECOSYSTEM = "ecosystem.config.cjs";

/** A clone has the file of one box; of the others only those that were generated here are compared. */
export async function checkGeneratedFiles(project: Project, signal: AbortSignal): Promise<Outcome> {
  const { root, fleet, machine } = project;
  if ((await machine.read(join(root, ECOSYSTEM))) === null)
    return wrong(`there is no ${ECOSYSTEM}`, "isha generate");
  let stale: string[] = [];
  for (const box of fleet.boxes) {
    stale = await staleFiles(project, box, signal);
    if (!stale.includes(ECOSYSTEM)) break;
  }
  return stale.length === 0
    ? fine("are as the fleet file has them")
    : wrong(`out of date: ${stale.join(", ")}`, "isha generate --diff, then isha generate (--box <name>)");
}

type Box = Project["fleet"]["boxes"][number];

async function staleFiles(
  { root, fleetFile, machine }: Project,
  box: Box,
  signal: AbortSignal,
): Promise<string[]> {
  const help = await machine.run(box.llamaServerBin, ["--help"], signal);
  const files = generatedFiles(box, { fleetFile });
  // Flags may have been chosen by this machine's binary.
  const accepted = [...files, ...(help === null ? [] : filesWithFlagsOf(help.out, box, fleetFile))];
  const stale: string[] = [];
  for (const { path } of files) {
    const existing = await machine.read(join(root, path));
    if (existing !== null && !accepted.some((file) => file.path === path && file.text === existing))
      stale.push(path);
  }
  return stale;
}

function filesWithFlagsOf(help: string, box: Box, fleetFile: string | null): GeneratedFile[] {
  try {
    return generatedFiles(box, { fleetFile, knownFlags: flagsInHelp(help) });
  } catch {
    // This binary can't run the box's servers: `isha doctor` on the box reports that.
    return [];
  }
}
