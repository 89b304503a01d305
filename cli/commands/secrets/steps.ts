// Lists the commands by which secrets reach the boxes and the Worker, for the operator to run. Pure.
import { join } from "node:path";
import type { Box } from "../../../shared/fleet.ts";
import { SECRET_FILES } from "../../secrets/secret-files.ts";

/** Copies what a box needs; the box's own folder is `~/.isha` of its user. */
export function toBoxes(folder: string, boxes: readonly Pick<Box, "name" | "user">[]): string {
  const files = [SECRET_FILES.agentEnv, SECRET_FILES.llamaApiKey].map((name) =>
    shellWord(join(folder, name)),
  );
  const lines = boxes.map(
    ({ name, user }) =>
      `     ssh ${user}@${name} 'umask 077; mkdir -p .isha' && scp -p ${files.join(" ")} ${user}@${name}:.isha/\n`,
  );
  return `  On each box (skip this if it is this machine):\n${lines.join("")}`;
}

/** A Worker that doesn't exist yet can be given no secret: its first deployment takes the file with it. */
export function toNewWorker(folder: string): string {
  return `  Deploy the edge for the first time:\n     npm run deploy -- --secrets-file ${workerFile(folder)}\n`;
}

export function toDeployedWorker(folder: string): string {
  return `  On an edge that is deployed already:\n     npx wrangler secret bulk ${workerFile(folder)} --env production\n`;
}

/** A second edge has secrets of its own, so nothing here may reach production's Worker or the boxes' `~/.isha`. */
export function toStaging(folder: string): string {
  return `  Deploy the staging edge with them:\n     npm run deploy -- --env staging --secrets-file ${workerFile(folder)}\n`;
}

const workerFile = (folder: string): string => shellWord(join(folder, SECRET_FILES.worker));

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
