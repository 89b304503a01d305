// Checks this machine as a box: its secrets, the agent, disk space, and the card.
import { join } from "node:path";
import { parseEnv } from "node:util";
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";
import type { Box } from "../../shared/fleet.ts";
import { isOpenToOthers } from "../files.ts";
import { objectOf } from "../json-object.ts";
import { SECRET_FILES } from "../secrets/secret-files.ts";
import { fine, skipped, unknown, wrong, type Check, type Outcome, type Surroundings } from "./check.ts";

/** A day of logs and journal take far less; a GGUF file takes more. */
const MIN_FREE_GIB = 2;
/** What a desktop, or the driver, may hold beside the servers. */
const MEMORY_TOLERANCE_GIB = 1;
const MIN_DRIVER_NAME = /^\d+\.\d+/;

export const BOX_CHECKS: readonly Check[] = [
  { name: "secrets", run: onBox(checkSecrets) },
  { name: "agent", run: onBox(checkAgent) },
  { name: "disk", run: onBox(checkDisk) },
  { name: "gpu", run: onBox(checkGpu) },
];

/** A check that applies to a box alone. */
export function onBox(
  run: (box: Box, around: Surroundings, signal: AbortSignal) => Promise<Outcome>,
): Check["run"] {
  return (around, signal) =>
    around.box === null
      ? Promise.resolve(skipped("this machine is no box (--box <name> if it is)"))
      : run(around.box, around, signal);
}

async function checkSecrets(_: Box, { secretFolder, machine }: Surroundings): Promise<Outcome> {
  for (const name of [SECRET_FILES.agentEnv, SECRET_FILES.llamaApiKey]) {
    const path = join(secretFolder, name);
    const mode = await machine.mode(path);
    if (mode === null) return wrong(`${path} is missing`, "isha secrets init");
    if (isOpenToOthers(mode)) return wrong(`${path} can be read by other users`, `chmod 600 ${path}`);
  }
  const env = parseEnv((await machine.read(join(secretFolder, SECRET_FILES.agentEnv))) ?? "");
  const key = (await machine.read(join(secretFolder, SECRET_FILES.llamaApiKey)))?.trim();
  if ((env["BOX_SECRET"] ?? "").length < 16) return wrong("agent.env has no BOX_SECRET", "isha secrets init");
  return env["LLAMA_API_KEY"] === key
    ? fine(`are in ${secretFolder}, for their owner alone`)
    : wrong("agent.env and llama-api-key have different keys", "isha secrets rotate llama-api-key");
}

async function checkAgent(
  box: Box,
  { agentUrl, machine }: Surroundings,
  signal: AbortSignal,
): Promise<Outcome> {
  const answer = await machine.fetch(`${agentUrl}/healthz`, {}, signal).catch(() => null);
  if (answer === null) return wrong(`nothing listens at ${agentUrl}`, "pm2 logs isha-agent --lines 50");
  const health = objectOf(answer.text);
  if (health === null || typeof health["box"] !== "string") {
    return wrong(
      `${agentUrl} is answered by another program`,
      `Find it: ss -ltnp 'sport = :${new URL(agentUrl).port}'`,
    );
  }
  if (health["box"] !== box.name)
    return wrong(`the agent is the one of ${health["box"]}`, "Set ISHA_BOX, or --box.");
  const own = objectOf((await machine.fetch(`${agentUrl}/fleet`, {}, signal)).text);
  if (typeof own?.["fleetFault"] === "string") {
    return wrong(
      `the agent runs its last valid fleet file; the current one is invalid: ${own["fleetFault"]}`,
      "Correct the file, then: pm2 reload isha-agent",
    );
  }
  if (own?.["linked"] === false) {
    return wrong("the agent has no link to the edge", "pm2 logs isha-agent --lines 50; see the check edge");
  }
  return fine(`version ${String(health["version"])} answers at ${agentUrl}, linked to the edge`);
}

async function checkDisk(box: Box, { secretFolder, pm2Home, machine }: Surroundings): Promise<Outcome> {
  const full: string[] = [];
  for (const path of [secretFolder, pm2Home, box.modelsDir]) {
    const disk = await machine.disk(path);
    if (disk !== null && disk.freeGib < MIN_FREE_GIB)
      full.push(`${path} has ${disk.freeGib.toFixed(1)} GiB left`);
  }
  return full.length === 0
    ? fine(`${MIN_FREE_GIB} GiB or more are free for journal, logs and models`)
    : wrong(full.join(", "), "pm2 flush; du -xsh ~/.pm2/logs");
}

const GPU_FIELDS = "name,driver_version,persistence_mode,memory.total,memory.used";

async function checkGpu(box: Box, { machine }: Surroundings, signal: AbortSignal): Promise<Outcome> {
  const args = [`--query-gpu=${GPU_FIELDS}`, "--format=csv,noheader,nounits"];
  const ran = await machine.run("nvidia-smi", args, signal);
  if (ran === null) return wrong("there is no nvidia-smi", "sudo apt install nvidia-driver-570; sudo reboot");
  const [name = "", driver = "", persistence = "", total = "", used = ""] = (
    ran.out.split("\n")[0] ?? ""
  ).split(", ");
  if (ran.code !== 0 || !MIN_DRIVER_NAME.test(driver)) {
    return wrong("nvidia-smi doesn't reach the driver", "sudo dmesg | grep -i nvrm; sudo reboot");
  }
  const totalGib = Number(total) / 1024;
  if (!Number.isFinite(totalGib)) return unknown(`${name} reports no memory`, "nvidia-smi");
  if (totalGib < box.vramGib * 0.97) {
    return wrong(
      `${name} has ${totalGib.toFixed(1)} GiB; the fleet file has vramGib ${box.vramGib}`,
      "Correct the fleet file, then: isha plan",
    );
  }
  const planned = box.servers.reduce((sum, server) => sum + gpuMemoryGib(server).total, 0);
  const usedGib = Number(used) / 1024;
  if (usedGib > planned + MEMORY_TOLERANCE_GIB) {
    return wrong(
      `${usedGib.toFixed(1)} GiB are in use, ${planned.toFixed(1)} are planned: another program uses the card`,
      "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv",
    );
  }
  if (persistence === "Disabled") {
    return wrong(
      "persistence mode is off, so the first start after a pause takes seconds longer",
      "sudo nvidia-smi -pm 1",
    );
  }
  return fine(`${name}, driver ${driver}, ${usedGib.toFixed(1)} of ${totalGib.toFixed(1)} GiB in use`);
}
