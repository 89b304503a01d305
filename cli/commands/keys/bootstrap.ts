// `isha keys bootstrap`: makes the first admin key on this machine, so that only its owner ever has it. The edge stores
// its SHA-256 and accepts the key until another admin key exists. If all admin keys are lost, a new one restores access.
import { createHash, randomBytes } from "node:crypto";
import { dirname, resolve } from "node:path";
import { Option, type Command } from "commander";
import { apiKeyId, formatApiKey, KEY_SECRET_BYTES } from "../../../shared/api-key.ts";
import { isFirstKeyId } from "../../../shared/keys.ts";
import { adminKeyFile, createKeyFile, readKeyFile } from "../../api/admin-key-file.ts";
import { addExamples, addJsonOption, writeJson, type OutputOptions } from "../../options/common.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import type { CommandContext } from "../../context.ts";
import { bold } from "../../terminal/table.ts";

/** The Worker secret with the first admin key's SHA-256. */
export const FIRST_ADMIN_KEY_SECRET = "FIRST_ADMIN_KEY_SHA256";

/** Random bytes of the id, which distinguish one deployment's first key from another's. */
const ID_RANDOM_BYTES = 4;

interface Options extends OutputOptions {
  /** `true`: the default file. */
  readonly save?: string | true;
  /** `true`: the default file. */
  readonly from?: string | true;
  readonly put?: true;
}

interface FirstKey {
  readonly id: string;
  readonly key: string;
  /** Of the complete key, as the edge compares it. */
  readonly sha256: string;
}

/** @param random the system's random number generator. */
export function makeFirstKey(random: (size: number) => Uint8Array): FirstKey {
  const id = `first${Buffer.from(random(ID_RANDOM_BYTES)).toString("hex")}`;
  return firstKey(id, formatApiKey(id, random(KEY_SECRET_BYTES)));
}

const firstKey = (id: string, key: string): FirstKey => ({
  id,
  key,
  sha256: createHash("sha256").update(key).digest("hex"),
});

export function addKeysBootstrap(keys: Command, io: CommandContext): void {
  const command = keys
    .command("bootstrap")
    .summary("make a deployment's first admin key")
    .description(
      "Makes a deployment's first admin key on this machine. The Worker stores its SHA-256 as the secret " +
        `${FIRST_ADMIN_KEY_SECRET} and accepts the key only as long as no other admin key exists. If all admin keys are ` +
        "lost, a new first key restores access.",
    )
    .option(
      "--put",
      "store the SHA-256 with wrangler as well (the Worker must be deployed, wrangler logged in)",
    )
    .option(
      "--save [file]",
      "write the key to a new file of mode 0600 (default: ~/.isha/admin-key) instead of showing it",
    )
    .addOption(
      new Option(
        "--from [file]",
        "use the key that an earlier --save wrote (default: ~/.isha/admin-key) instead of a new one",
      ).conflicts("save"),
    )
    .action((options: Options) => bootstrap(options, io));
  addExamples(addJsonOption(command), [
    "isha keys bootstrap",
    "isha keys bootstrap --put --save",
    "isha keys bootstrap --save first.key",
    "isha keys bootstrap --put --from first.key",
  ]);
}

async function bootstrap(options: Options, io: CommandContext): Promise<void> {
  const defaultPath = adminKeyFile(io.homeFolder);
  const named = options.save ?? options.from ?? true;
  const path = named === true ? defaultPath : resolve(io.folder, named);
  const first = options.from === undefined ? await createFirstKey(options, path) : await readFirstKey(path);
  // The key is printed before wrangler runs: an interrupted wrangler may have stored its hash.
  const saved = options.save === undefined && options.from === undefined ? null : path;
  if (options.json !== true) printKey(first, saved, io);
  const exitCode = options.put === true ? await io.putSecret(FIRST_ADMIN_KEY_SECRET, first.sha256) : null;
  const put = options.put === true && exitCode === 0;
  if (options.json === true) {
    const key = saved === null ? first.key : null;
    writeJson(io.out, { ...first, key, savedTo: saved, secret: FIRST_ADMIN_KEY_SECRET, put });
  } else {
    io.err.write(nextSteps(first, { put, path, defaultPath, saved: saved !== null }));
  }
  if (options.put === true && !put) {
    throw new CommandFailure(EXIT.failed, `wrangler didn't store the secret (${exitText(exitCode)}).`, {
      advice: `When the Worker is deployed and wrangler logged in: ${
        saved === null ? putCommand(first.sha256) : fromCommand(saved)
      }`,
    });
  }
}

async function createFirstKey({ save }: Options, path: string): Promise<FirstKey> {
  const file =
    save === undefined
      ? null
      : await createKeyFile(path, ` If its key is a first admin key not yet stored: ${fromCommand(path)}`);
  const first = makeFirstKey(randomBytes);
  await file?.write(first.key);
  return first;
}

/** @throws CommandFailure if the file contains any other key, which would become an admin key. */
async function readFirstKey(path: string): Promise<FirstKey> {
  const key = await readKeyFile(path);
  if (key === null) throw usageFailure(`There is no file ${path}.`);
  const id = apiKeyId(key);
  if (id !== null && isFirstKeyId(id)) return firstKey(id, key);
  throw usageFailure(
    `${path} doesn't contain a complete key from isha keys bootstrap.`,
    "Make a new one: isha keys bootstrap --put --save <file>.",
  );
}

const exitText = (code: number | null): string =>
  code === null ? "it couldn't be run" : `exit code ${code}`;

const fromCommand = (path: string): string => `npm run isha -- keys bootstrap --put --from ${path}`;

const putCommand = (sha256: string): string =>
  `printf %s ${sha256} | npx wrangler secret put ${FIRST_ADMIN_KEY_SECRET}`;

function printKey({ key, sha256 }: FirstKey, saved: string | null, { out }: CommandContext): void {
  out.write(`${bold("The first admin key", out)}\n\n`);
  out.write(`  key      ${saved === null ? key : `in ${saved}`}\n  SHA-256  ${sha256}\n`);
}

interface Steps {
  readonly put: boolean;
  readonly path: string;
  /** The file that commands read without --key-file. */
  readonly defaultPath: string;
  readonly saved: boolean;
}

const saveCommand = (path: string): string => `(umask 077; mkdir -p ${dirname(path)}; cat > ${path})`;

function nextSteps({ sha256 }: FirstKey, { put, path, defaultPath, saved }: Steps): string {
  const keyFile = saved && path !== defaultPath ? ` --key-file ${path}` : "";
  const steps = [
    ...(saved
      ? []
      : [
          `Save the key in a file that only you can read (paste it, Enter, Ctrl-D):\n     ${saveCommand(path)}`,
        ]),
    ...(put ? [] : [`Store its SHA-256 in the Worker:\n     ${putCommand(sha256)}`]),
    "Make your own admin key with it:\n     npm run isha -- keys create --name <your name> --scopes infer,admin --save admin-key.new" +
      keyFile,
    `The first key is no longer valid then. Replace it with yours:\n     mv admin-key.new ${defaultPath}`,
  ];
  return `\nNext:\n${steps.map((step, index) => `  ${index + 1}. ${step}\n`).join("")}`;
}
