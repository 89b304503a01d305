// `isha secrets init`: creates the secrets that a deployment lacks, in files that only the operator can read, and prints
// how they reach the box and the Worker. It never replaces a secret.
import { createHash, randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { apiKeyId } from "../../../shared/api-key.ts";
import { isFirstKeyId } from "../../../shared/keys.ts";
import type { CommandContext } from "../../context.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import { addExamples, addJsonOption, writeJson, type OutputOptions } from "../../options/common.ts";
import {
  ACCESS_SECRETS,
  accessAdvice,
  createSecretFolder,
  envText,
  missingAccessSecrets,
  newSecret,
  readAgentEnv,
  readSecretFile,
  readWorkerSecrets,
  SECRET_FILES,
  usualSecretFolder,
  writeSecretFile,
  type Variables,
} from "../../secrets/secret-files.ts";
import { bold } from "../../terminal/table.ts";
import { FIRST_ADMIN_KEY_SECRET, makeFirstKey } from "../keys/bootstrap.ts";
import {
  adminKeyElsewhere,
  folderOption,
  initCommand,
  toBoxes,
  toDeployedWorker,
  toNewWorker,
  type Target,
} from "./steps.ts";

/** Secrets that others issue: taken from this command's environment if they are set there. */
const GIVEN = [...ACCESS_SECRETS, "ALERT_WEBHOOK_URL"] as const;

export interface SecretsOptions extends OutputOptions {
  readonly folder?: string;
}

export function addSecretsInit(secrets: Command, io: CommandContext): void {
  const command = secrets
    .command("init")
    .summary("create the secrets of a deployment")
    .description(
      "Creates what is missing: the secret that edge and boxes share, the llama-servers' key, the first admin key, and the " +
        "file with the Worker's secrets. All have mode 0600. What exists is kept, so the command can be repeated. " +
        `${GIVEN.join(", ")} are added to the Worker's secrets if the environment has them.`,
    )
    .option("--folder <folder>", "where the files are (default: ISHA_SECRETS, else ~/.isha)");
  addJsonOption(command).action((options: SecretsOptions) => init(options, io));
  addExamples(command, ["isha secrets init", "isha secrets init --folder ~/.isha-staging"]);
}

/** Without --folder, or with the folder that `isha deploy` uses for production, the secrets are production's. */
export async function targetOf(options: SecretsOptions, io: CommandContext): Promise<Target> {
  const { boxes } = await io.fleet();
  const usual = usualSecretFolder(io);
  if (options.folder === undefined) return { folder: usual, isNamed: false, env: "production", boxes };
  const folder = resolve(io.folder, options.folder);
  return { folder, isNamed: true, env: folder === usual ? "production" : "staging", boxes };
}

async function init(options: SecretsOptions, io: CommandContext): Promise<void> {
  const target = await targetOf(options, io);
  const { folder, env } = target;
  await createSecretFolder(folder);
  const created: string[] = [];
  const write = async (name: string, text: string): Promise<void> => {
    await writeSecretFile(join(folder, name), text);
    created.push(name);
  };

  const agent = await readAgentEnv(folder);
  const keyFile = (await readSecretFile(join(folder, SECRET_FILES.llamaApiKey)))?.trim() ?? null;
  checkSameKey(agent, keyFile, target);
  const boxSecret = agent?.["BOX_SECRET"] ?? newSecret();
  const llamaApiKey = agent?.["LLAMA_API_KEY"] ?? keyFile ?? newSecret();
  const wanted = { ...agent, BOX_SECRET: boxSecret, LLAMA_API_KEY: llamaApiKey };
  if (agent === null || envText(agent) !== envText(wanted))
    await write(SECRET_FILES.agentEnv, envText(wanted));
  if (keyFile === null) await write(SECRET_FILES.llamaApiKey, `${llamaApiKey}\n`);

  const sha256 = await firstAdminKeyHash(folder, write);
  const worker = await readWorkerSecrets(folder, initCommand(target));
  const complete: Variables = {
    ...worker,
    BOX_SECRET: boxSecret,
    ...(sha256 === null ? {} : { [FIRST_ADMIN_KEY_SECRET]: sha256 }),
    ...givenIn(io.env),
  };
  if (worker === null || JSON.stringify(worker) !== JSON.stringify(complete)) {
    await write(SECRET_FILES.worker, `${JSON.stringify(complete, null, 2)}\n`);
  }

  // Staging's edge isn't admitted to production's boxes, with or without Access.
  const missing = env === "production" ? missingAccessSecrets(target.boxes, complete) : [];
  const kept = Object.values(SECRET_FILES).filter((name) => !created.includes(name));
  if (options.json === true) return writeJson(io.out, { folder, created, kept, missing });
  io.out.write(`${bold(`Secrets in ${folder}`, io.out)}\n\n`);
  for (const name of Object.values(SECRET_FILES)) {
    io.out.write(`  ${name.padEnd(NAME_WIDTH)}  ${created.includes(name) ? "created" : "kept"}\n`);
  }
  if (missing.length > 0) io.err.write(withoutAccess(missing, target));
  const steps = env === "production" ? [toBoxes, toNewWorker, toDeployedWorker] : [toNewWorker];
  io.err.write(
    `\nNext:\n${steps.map((step) => step(target)).join("")}${adminKeyElsewhere(target, io.homeFolder)}`,
  );
}

const withoutAccess = (missing: readonly string[], target: Target): string => `
Missing in ${SECRET_FILES.worker}: ${missing.join(", ")}. The fleet file has tunnel.access, so without a service token
no call reaches a box. ${accessAdvice(initCommand(target))}
`;

const NAME_WIDTH = Math.max(...Object.values(SECRET_FILES).map((name) => name.length));

function checkSameKey(agent: Variables | null, keyFile: string | null, target: Target): void {
  const inAgent = agent?.["LLAMA_API_KEY"];
  if (inAgent === undefined || keyFile === null || inAgent === keyFile) return;
  throw new CommandFailure(
    EXIT.failed,
    `${SECRET_FILES.agentEnv} and ${SECRET_FILES.llamaApiKey} in ${target.folder} have different keys, so the agent couldn't use its servers.`,
    {
      advice: `Make them equal, or replace both: isha secrets rotate llama-api-key${folderOption(target)}`,
    },
  );
}

/** @returns null if the operator's admin key is no first key: the deployment has its own admin keys already */
async function firstAdminKeyHash(
  folder: string,
  write: (name: string, text: string) => Promise<void>,
): Promise<string | null> {
  const existing = (await readSecretFile(join(folder, SECRET_FILES.adminKey)))?.trim();
  if (existing !== undefined) {
    const id = apiKeyId(existing);
    return id !== null && isFirstKeyId(id) ? createHash("sha256").update(existing).digest("hex") : null;
  }
  const first = makeFirstKey(randomBytes);
  await write(SECRET_FILES.adminKey, `${first.key}\n`);
  return first.sha256;
}

function givenIn(env: CommandContext["env"]): Variables {
  const given = GIVEN.flatMap((name) => {
    const value = env[name];
    return value === undefined || value === "" ? [] : [[name, value] as const];
  });
  const names: readonly string[] = given.map(([name]) => name);
  const [id, secret] = ACCESS_SECRETS;
  if (names.includes(id) !== names.includes(secret))
    throw usageFailure(`${id} and ${secret} must be set together.`, "Set both, or unset the other one.");
  return Object.fromEntries(given);
}
