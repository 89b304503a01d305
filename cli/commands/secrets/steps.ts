// Lists the commands by which secrets reach the boxes and the Worker, for the operator to run. Pure.
import { join } from "node:path";
import type { Box } from "../../../shared/fleet.ts";
import { SECRET_FILES } from "../../secrets/secret-files.ts";
import { shellWord } from "../../terminal/safe-text.ts";

/**
 * The edge that a folder's secrets are for, and the fleet file's boxes. Any folder but the usual one is staging's: no step
 * may put its secrets into production, whose edge and boxes would then refuse each other.
 */
export interface Target {
  readonly folder: string;
  /** Whether --folder named it, so that the next command needs the option too. */
  readonly isNamed: boolean;
  readonly env: "production" | "staging";
  readonly boxes: readonly Pick<Box, "name" | "user" | "tunnel">[];
}

/** Copies what a box needs; the box's own folder is `~/.isha` of its user. The fleet file's boxes are production's. */
export function toBoxes({ folder, env, boxes }: Target): string {
  const names = [SECRET_FILES.agentEnv, SECRET_FILES.llamaApiKey];
  if (env === "staging")
    return `  On staging's own box, if it has one, replace ${names.join(" and ")} with those in ${folder}.\n`;
  const files = names.map((name) => shellWord(join(folder, name))).join(" ");
  const lines = boxes.map(
    ({ name, user }) =>
      `     ssh ${user}@${name} 'umask 077; mkdir -p .isha' && scp -p ${files} ${user}@${name}:.isha/\n`,
  );
  return `  On each box (skip this if it is this machine):\n${lines.join("")}`;
}

export const reloadAgent = (target: Target): string =>
  `  ${onBoxes(target)}, without cutting a stream:\n     pm2 reload isha-agent\n`;

export const restartAll = (target: Target): string =>
  `  ${onBoxes(target)}, in a quiet minute (calls that run there end with an error or are repeated):\n     pm2 restart all\n`;

const onBoxes = ({ env }: Target): string => (env === "production" ? "On each box" : "On that box");

/** A Worker that doesn't exist yet can be given no secret: its first deployment takes the file with it. */
export function toNewWorker({ folder, env }: Target): string {
  const file = workerFile(folder);
  return env === "production"
    ? `  Deploy the edge for the first time:\n     npm run deploy -- --secrets-file ${file}\n`
    : `  Deploy the staging edge with them:\n     npm run deploy -- --env staging --secrets-file ${file}\n`;
}

export const toDeployedWorker = ({ folder, env }: Target): string =>
  `  On an edge that is deployed already:\n     npx wrangler secret bulk ${workerFile(folder)} --env ${env}\n`;

/** Commands that ask for a key look for it in `~/.isha` alone. */
export function adminKeyElsewhere({ folder, env }: Target, homeFolder: string): string {
  if (folder === join(homeFolder, ".isha")) return "";
  const url = env === "production" ? "" : "--url <its address> ";
  return `  For isha's other commands, name its admin key:\n     ${url}--key-file ${shellWord(join(folder, SECRET_FILES.adminKey))}\n`;
}

/** Creates what the folder lacks. */
export const initCommand = (target: Target): string => `isha secrets init${folderOption(target)}`;

/** Ends a rotation of the box secret. */
export const finishCommand = (target: Target): string =>
  `secrets rotate box-secret --finish${folderOption(target)}`;

/** What a command needs to use the same folder again. */
export const folderOption = ({ folder, isNamed }: Target): string =>
  isNamed ? ` --folder ${shellWord(folder)}` : "";

const workerFile = (folder: string): string => shellWord(join(folder, SECRET_FILES.worker));
