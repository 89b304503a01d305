// Reads and writes the files with a deployment's secrets, in one folder of the operator: only its owner can read them,
// and each is replaced as a whole. It decides nothing about their contents.
import { randomBytes } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import * as z from "zod";
import type { Box } from "../../shared/fleet.ts";
import type { CommandContext } from "../context.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { isOpenToOthers, writeWhole } from "../files.ts";
import { objectOf } from "../json-object.ts";

/** What each file is for; the box gets the first two. */
export const SECRET_FILES = {
  agentEnv: "agent.env",
  llamaApiKey: "llama-api-key",
  adminKey: "admin-key",
  worker: "worker-secrets.json",
} as const;

/** The folder of production's secrets: `isha deploy` takes the edge's from it, and the agent its own. */
export const usualSecretFolder = ({
  env,
  homeFolder,
  folder,
}: Pick<CommandContext, "env" | "homeFolder" | "folder">): string =>
  resolve(folder, env["ISHA_SECRETS"] || join(homeFolder, ".isha"));

/** The service token that Access issues for the edge. */
export const ACCESS_SECRETS = ["ACCESS_CLIENT_ID", "ACCESS_CLIENT_SECRET"] as const;

/** Where they come from. @param init the command that takes them */
export const accessAdvice = (init: string): string =>
  `They are the client id and secret of Access's service token (docs/deploy.md, step 4): set both in the environment, then: ${init}`;

/** The parts of the service token that the Worker's secrets lack, if the fleet file puts a box behind Access. */
export function missingAccessSecrets(
  boxes: readonly Pick<Box, "tunnel">[],
  worker: Readonly<Record<string, unknown>>,
): string[] {
  if (boxes.every(({ tunnel }) => tunnel?.access === undefined)) return [];
  return ACCESS_SECRETS.filter((name) => typeof worker[name] !== "string" || worker[name] === "");
}

/** 32 bytes of the system's random number generator, as hexadecimal digits. */
export const newSecret = (): string => randomBytes(32).toString("hex");

/** @returns null if there is no such file. @throws CommandFailure if others can read it, or it can't be read */
export async function readSecretFile(path: string): Promise<string | null> {
  try {
    const { mode } = await stat(path);
    if (isOpenToOthers(mode)) {
      throw new CommandFailure(EXIT.failed, `${path} can be read by other users.`, {
        advice: `chmod 600 ${path}`,
      });
    }
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    if (codeOf(error) === "ENOENT") return null;
    throw new CommandFailure(EXIT.failed, `${path} can't be read (${codeOf(error)}).`);
  }
}

/** Replaces the file as a whole: an interrupted write leaves the old one. */
export const writeSecretFile = (path: string, text: string): Promise<void> => writeWhole(path, text, 0o600);

export async function createSecretFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CommandFailure(EXIT.failed, `${folder} can't be created (${codeOf(error)}).`);
  }
}

export type Variables = Readonly<Record<string, string>>;

/** @returns the variables of `agent.env`; null if there is no such file */
export async function readAgentEnv(folder: string): Promise<Variables | null> {
  const text = await readSecretFile(join(folder, SECRET_FILES.agentEnv));
  if (text === null) return null;
  return Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
}

export const envText = (variables: Variables): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");

const WorkerSecrets = z.record(z.string(), z.string());

/**
 * @param init the command that creates the file
 * @returns the Worker's secrets by name; null if there is no such file. @throws CommandFailure if it is damaged
 */
export async function readWorkerSecrets(folder: string, init: string): Promise<Variables | null> {
  const path = join(folder, SECRET_FILES.worker);
  const text = await readSecretFile(path);
  if (text === null) return null;
  const parsed = WorkerSecrets.safeParse(objectOf(text));
  if (parsed.success) return parsed.data;
  throw new CommandFailure(EXIT.failed, `${path} is no JSON object of texts.`, {
    advice: `Move it away; then ${init} creates it from the others.`,
  });
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === undefined) throw error;
  return code;
}
