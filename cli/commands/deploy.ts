// `isha deploy`: checks this clone, deploys the edge with wrangler, and prints the version and how to go back. The first
// deployment takes the Worker's secrets with it: a Worker that doesn't exist yet can be given none.
import { join, resolve } from "node:path";
import { Option, type Command } from "commander";
import * as z from "zod";
import { BUNDLE_SIZE } from "../check/bundle-check.ts";
import { PROJECT_ROOT } from "../check/project.ts";
import { runWrangler, wranglerError, type WranglerRun } from "../check/wrangler.ts";
import type { CommandContext } from "../context.ts";
import { CommandFailure, EXIT, stopIfInterrupted, usageFailure } from "../failure.ts";
import { addExamples } from "../options/common.ts";
import { readSecretFile, SECRET_FILES, usualSecretFolder } from "../secrets/secret-files.ts";
import { doctorText } from "../terminal/doctor-text.ts";
import { plain } from "../terminal/safe-text.ts";
import { checkProject } from "./check.ts";

interface DeployOptions {
  readonly env: "production" | "staging";
  readonly secretsFile?: string;
}

export function addDeploy(program: Command, io: CommandContext): void {
  const command = program
    .command("deploy")
    .summary("check this clone, then deploy the edge")
    .description(
      "Runs `isha check` and stops if anything is wrong, before anything is uploaded. Then deploys the edge with wrangler, " +
        "and prints the new version's id and the line that goes back to the version before. The first deployment takes " +
        "the Worker's secrets from ~/.isha/worker-secrets.json with it; staging has secrets of its own.",
    )
    .addOption(
      new Option("--env <name>", "the environment of wrangler.toml")
        .choices(["production", "staging"])
        .default("production"),
    )
    .option("--secrets-file <file>", "set these secrets too, as JSON (see isha secrets init)")
    .action((options: DeployOptions) => deploy(options, io));
  addExamples(command, [
    "isha deploy",
    "isha deploy --env staging --secrets-file ~/.isha-staging/worker-secrets.json",
  ]);
}

async function deploy(options: DeployOptions, io: CommandContext): Promise<void> {
  await checkFirst(io);
  const { env } = options;
  const previous = await currentVersion(env, io);
  const secretsFile = await secretsFor(options, previous === null, io);
  const args = ["deploy", "--env", env, "--strict"];
  if (secretsFile !== null) args.push("--secrets-file", secretsFile);
  const ran = await wrangler(args, io, (text) => io.err.write(text));
  if (ran.code !== 0) {
    throw new CommandFailure(EXIT.failed, `wrangler ended with ${ran.code}; the edge may not be deployed.`, {
      advice: "Its reason is above; docs/deploy.md lists the usual ones.",
    });
  }
  const version = /Version ID: +([0-9a-f-]{36})/.exec(ran.out)?.[1];
  io.out.write(
    `Deployed ${env}: version ${version ?? `unknown (npx wrangler deployments list --env ${env})`}.\n`,
  );
  io.out.write(
    previous === null || previous === ""
      ? "It is the first version; later ones can be rolled back.\n"
      : `To go back to the version before:  npx wrangler rollback ${previous} --env ${env}\n`,
  );
}

/** What can't be checked here doesn't stop a deployment: a build machine may have no secrets. */
async function checkFirst(io: CommandContext): Promise<void> {
  const results = await checkProject({}, io);
  stopIfInterrupted(io.signal);
  const wrong = results.filter(({ verdict }) => verdict === "wrong");
  if (wrong.every(({ check }) => check === BUNDLE_SIZE)) {
    for (const { check, text } of wrong) io.err.write(`isha check: ${check}: ${plain(text)}.\n`);
    io.err.write(
      `isha check: ${results.filter(({ verdict }) => verdict === "fine").length} checks are fine.\n`,
    );
    return;
  }
  io.err.write(doctorText(wrong, io.err));
  throw new CommandFailure(EXIT.failed, "Nothing was uploaded: isha check found faults.", {
    advice: "Fix them; then deploy again.",
  });
}

const Deployments = z.array(
  z.object({
    created_on: z.string(),
    versions: z.array(z.object({ version_id: z.string(), percentage: z.number() })),
  }),
);

/** Cloudflare's codes for a Worker that doesn't exist. */
const NO_WORKER = /\[code: (?:10007|10090)\]/;

/** @returns the version that most calls reach; "" if the Worker has none; null if the Worker doesn't exist yet */
async function currentVersion(env: string, io: CommandContext): Promise<string | null> {
  const ran = await wrangler(["deployments", "list", "--env", env, "--json"], io);
  if (ran.code !== 0) {
    if (NO_WORKER.test(ran.out)) return null;
    throw new CommandFailure(EXIT.failed, `wrangler can't list the deployments: ${wranglerError(ran.out)}`, {
      advice: "Nothing was uploaded. If wrangler has no access to the account: npx wrangler login.",
    });
  }
  const listed = Deployments.safeParse(jsonIn(ran.out));
  const newest = listed.data?.toSorted((a, b) => a.created_on.localeCompare(b.created_on)).at(-1);
  return newest?.versions.toSorted((a, b) => b.percentage - a.percentage)[0]?.version_id ?? "";
}

/** wrangler may print a warning before the list. */
function jsonIn(out: string): unknown {
  try {
    return JSON.parse(out.slice(out.indexOf("[\n"), out.lastIndexOf("]") + 1) || "[]");
  } catch {
    return null;
  }
}

async function secretsFor(
  options: DeployOptions,
  isFirst: boolean,
  io: CommandContext,
): Promise<string | null> {
  const { env, secretsFile } = options;
  const folder = usualSecretFolder(io);
  const usual = env === "production" && isFirst ? join(folder, SECRET_FILES.worker) : null;
  const path = secretsFile === undefined ? usual : resolve(io.folder, secretsFile);
  if (path === null && !isFirst) return null;
  if (path !== null && (await readSecretFile(path)) !== null) return path;
  const missing = path === null ? "names none" : `${path} doesn't exist`;
  throw usageFailure(
    isFirst
      ? `This is the first deployment of ${env}, which needs a file with its secrets; ${missing}.`
      : `There is no secrets file: ${missing}.`,
    env === "production"
      ? `Create it: isha secrets init writes ${join(folder, SECRET_FILES.worker)}.`
      : `Create it: isha secrets init --folder ~/.isha-${env}; then add --secrets-file ~/.isha-${env}/${SECRET_FILES.worker}.`,
  );
}

async function wrangler(
  args: readonly string[],
  io: CommandContext,
  onOutput?: (text: string) => void,
): Promise<WranglerRun> {
  const { env, signal } = io;
  try {
    const ran = await runWrangler(args, {
      root: PROJECT_ROOT,
      env,
      signal,
      ...(onOutput === undefined ? {} : { onOutput }),
    });
    if (ran !== null) return ran;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CommandFailure(
      EXIT.interrupted,
      "Interrupted; `npx wrangler deployments list` shows what is deployed.",
    );
  }
  throw usageFailure("There is no wrangler on the PATH.", "Run npm ci, then: npm run deploy");
}
