// Collects the secrets that this machine has, so that a report can be searched for them.
import { join } from "node:path";
import { parseEnv } from "node:util";
import type { CommandContext } from "../context.ts";
import type { Machine } from "../doctor/machine.ts";
import { objectOf } from "../json-object.ts";
import { SECRET_FILES } from "../secrets/secret-files.ts";
import type { Secret } from "./secret-search.ts";

/** Variables of the environment whose names promise a secret. */
const SECRET_NAME = /SECRET|TOKEN|KEY|PASSWORD|WEBHOOK/i;

export async function operatorSecrets(
  folder: string,
  machine: Machine,
  { env }: Pick<CommandContext, "env">,
): Promise<Secret[]> {
  const read = async (name: string): Promise<string> => (await machine.read(join(folder, name))) ?? "";
  const agent = parseEnv(await read(SECRET_FILES.agentEnv));
  const worker = objectOf(await read(SECRET_FILES.worker)) ?? {};
  const named = [
    ...Object.entries(agent),
    ...Object.entries(worker),
    ...Object.entries(env).filter(([name]) => SECRET_NAME.test(name)),
    [SECRET_FILES.llamaApiKey, await read(SECRET_FILES.llamaApiKey)] as const,
    [SECRET_FILES.adminKey, await read(SECRET_FILES.adminKey)] as const,
  ];
  // Folders and files are named by variables too, and are no secrets.
  return named.flatMap(([name, value]) =>
    typeof value === "string" && !value.startsWith("/") ? [{ name, value: value.trim() }] : [],
  );
}
