// `isha secrets rotate`: replaces a secret in the operator's files, so that it can be changed without downtime, and prints
// the steps in their order.
import { join } from "node:path";
import { Argument, type Command } from "commander";
import type { CommandContext } from "../../context.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import { addExamples } from "../../options/common.ts";
import {
  envText,
  newSecret,
  readAgentEnv,
  readWorkerSecrets,
  SECRET_FILES,
  writeSecretFile,
  type Variables,
} from "../../secrets/secret-files.ts";
import { targetOf, type SecretsOptions } from "./init.ts";
import {
  finishCommand,
  initCommand,
  reloadAgent,
  restartAll,
  toBoxes,
  toDeployedWorker,
  type Target,
} from "./steps.ts";

const ROTATED = ["box-secret", "llama-api-key"] as const;

interface Options extends SecretsOptions {
  readonly finish?: true;
}

/** The operator's files, and the edge that they are for. */
interface Files {
  readonly target: Target;
  readonly agent: Variables;
  readonly worker: Variables | null;
}

export function addSecretsRotate(secrets: Command, io: CommandContext): void {
  const command = secrets
    .command("rotate")
    .summary("replace a secret without downtime")
    .description(
      "Replaces a secret in the files of `isha secrets init` and prints what to do next. The box secret is rotated in two " +
        "steps: boxes and edge accept the old one too until --finish drops it.",
    )
    .addArgument(new Argument("<secret>", "which one").choices([...ROTATED]))
    .option("--finish", "drop the previous box secret, once every box and the edge have the new one")
    .option("--folder <folder>", "where the files are (default: ISHA_SECRETS, else ~/.isha)")
    .action((secret: (typeof ROTATED)[number], options: Options) => rotate(secret, options, io));
  addExamples(command, [
    "isha secrets rotate box-secret",
    "isha secrets rotate box-secret --finish",
    "isha secrets rotate llama-api-key",
  ]);
}

async function rotate(secret: (typeof ROTATED)[number], options: Options, io: CommandContext): Promise<void> {
  const target = await targetOf(options, io);
  const { folder } = target;
  const agent = await readAgentEnv(folder);
  if (agent?.["BOX_SECRET"] === undefined || agent["LLAMA_API_KEY"] === undefined) {
    throw usageFailure(
      `${folder} has no complete ${SECRET_FILES.agentEnv}.`,
      `Create it: ${initCommand(target)}`,
    );
  }
  const files = { target, agent, worker: await readWorkerSecrets(folder, initCommand(target)) };
  const copy = toBoxes(target);
  if (secret === "llama-api-key") {
    if (options.finish === true)
      throw usageFailure("Only box-secret is rotated in two steps; leave --finish out.");
    await newLlamaApiKey(files);
    io.err.write(`Next:\n${copy}${restartAll(target)}`);
    return;
  }
  if (options.finish === true) {
    await dropPrevious(files);
    io.err.write(`Next, in any order:\n${copy}${reloadAgent(target)}${toDeployedWorker(target)}`);
    return;
  }
  await newBoxSecret(files);
  io.err.write(
    `Next, in this order:\n${copy}${reloadAgent(target)}${toDeployedWorker(target)}  Then drop the old one:\n     npm run isha -- ${finishCommand(target)}\n`,
  );
}

async function newBoxSecret({ target, agent, worker }: Files): Promise<void> {
  const { folder } = target;
  if ((agent["BOX_SECRET_PREVIOUS"] ?? "") !== "") {
    throw new CommandFailure(
      EXIT.failed,
      "A rotation of the box secret is under way: the previous one is still accepted.",
      {
        advice: `Finish it first: isha ${finishCommand(target)}.`,
      },
    );
  }
  const pair = { BOX_SECRET: newSecret(), BOX_SECRET_PREVIOUS: agent["BOX_SECRET"] ?? "" };
  // The agents' file last: an interrupted rotation can be repeated.
  await writeWorkerSecrets(folder, { ...worker, ...pair });
  await writeSecretFile(join(folder, SECRET_FILES.agentEnv), envText({ ...agent, ...pair }));
}

async function dropPrevious({ target, agent, worker }: Files): Promise<void> {
  const { BOX_SECRET_PREVIOUS: previous = "", ...rest } = agent;
  if (previous === "") throw new CommandFailure(EXIT.failed, "No rotation of the box secret is under way.");
  // The edge reads an empty one as none; left out, the deployed one would stay.
  const { folder } = target;
  await writeWorkerSecrets(folder, {
    ...worker,
    BOX_SECRET: rest["BOX_SECRET"] ?? "",
    BOX_SECRET_PREVIOUS: "",
  });
  await writeSecretFile(join(folder, SECRET_FILES.agentEnv), envText(rest));
}

async function newLlamaApiKey({ target: { folder }, agent }: Files): Promise<void> {
  const key = newSecret();
  await writeSecretFile(join(folder, SECRET_FILES.agentEnv), envText({ ...agent, LLAMA_API_KEY: key }));
  await writeSecretFile(join(folder, SECRET_FILES.llamaApiKey), `${key}\n`);
}

function writeWorkerSecrets(folder: string, secrets: Variables): Promise<void> {
  return writeSecretFile(join(folder, SECRET_FILES.worker), `${JSON.stringify(secrets, null, 2)}\n`);
}
