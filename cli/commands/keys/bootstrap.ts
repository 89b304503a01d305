// `isha keys bootstrap`: the first admin key, made here, so that nobody but its owner ever holds it. The edge gets
// its SHA-256 and honours it until another admin key takes its place. A new one is the way back in where all are lost.
import { createHash, randomBytes } from "node:crypto";
import { dirname, resolve } from "node:path";
import { Option, type Command } from "commander";
import { apiKeyId, formatApiKey, KEY_SECRET_BYTES } from "../../../shared/api-key.ts";
import { isFirstKeyId } from "../../../shared/unlisted-keys.ts";
import { adminKeyFile, readKeyFile, takeKeyPlace } from "../../api/admin-key-file.ts";
import { addExamples, addJsonOption, writeJson, type OutputOptions } from "../../options/common-options.ts";
import { CommandFailure, EXIT, usageFailure } from "../../failure.ts";
import type { CommandContext } from "../../context.ts";
import { bold } from "../../terminal/table.ts";

/** The Worker's secret that holds the first admin key's SHA-256. */
export const FIRST_ADMIN_KEY_SECRET = "FIRST_ADMIN_KEY_SHA256";

/** Of the id: `first` tells it in a list, the rest one deployment's from another's. */
const ID_RANDOM_BYTES = 4;

interface Options extends OutputOptions {
  /** `true`: the usual file. */
  readonly save?: string | true;
  /** `true`: the usual file. */
  readonly from?: string | true;
  readonly put?: true;
}

interface FirstKey {
  readonly id: string;
  readonly key: string;
  /** Of the whole key, as the edge compares it. */
  readonly sha256: string;
}

/** @param random bytes of the system's generator. */
export function makeFirstKey(random: (size: number) => Uint8Array): FirstKey {
  const id = `first${Buffer.from(random(ID_RANDOM_BYTES)).toString("hex")}`;
  return firstKey(id, formatApiKey(id, random(KEY_SECRET_BYTES)));
}

const firstKey = (id: string, key: string): FirstKey => ({
  id,
  key,
  sha256: createHash("sha256").update(key).digest("hex"),
});

export function addKeysBootstrap(keys: Command, around: CommandContext): void {
  const command = keys
    .command("bootstrap")
    .summary("make a deployment's first admin key")
    .description(
      "Makes a deployment's first admin key on this machine. The Worker gets its SHA-256 as the secret " +
        `${FIRST_ADMIN_KEY_SECRET}; it counts until another admin key takes its place, and never again while there is ` +
        "one. Where every admin key is lost, a new one is the way back in.",
    )
    .option("--put", "hand the SHA-256 to wrangler as well (the Worker must be deployed, wrangler logged in)")
    .option(
      "--save [file]",
      "write the key to a new file of mode 0600 (~/.isha/admin-key) instead of showing it",
    )
    .addOption(
      new Option(
        "--from [file]",
        "no new key: the one that --save wrote (~/.isha/admin-key) and that wasn't put yet",
      ).conflicts("save"),
    )
    .action((options: Options) => bootstrap(options, around));
  addExamples(addJsonOption(command), [
    "isha keys bootstrap",
    "isha keys bootstrap --put --save",
    "isha keys bootstrap --save first.key",
    "isha keys bootstrap --put --from first.key",
  ]);
}

async function bootstrap(options: Options, around: CommandContext): Promise<void> {
  const usual = adminKeyFile(around.homeFolder);
  const named = options.save ?? options.from ?? true;
  const path = named === true ? usual : resolve(around.folder, named);
  const first = options.from === undefined ? await madeKey(options, path) : await savedKey(path);
  // The key is told before wrangler is asked: an interrupted wrangler may have put its hash.
  const saved = options.save === undefined && options.from === undefined ? null : path;
  if (options.json !== true) tell(first, saved, around);
  const exitCode = options.put === true ? await around.putSecret(FIRST_ADMIN_KEY_SECRET, first.sha256) : null;
  const put = options.put === true && exitCode === 0;
  if (options.json === true) {
    const key = saved === null ? first.key : null;
    writeJson(around.out, { ...first, key, savedTo: saved, secret: FIRST_ADMIN_KEY_SECRET, put });
  } else {
    around.err.write(nextSteps(first, { put, path, usual, saved: saved !== null }));
  }
  if (options.put === true && !put) {
    throw new CommandFailure(EXIT.failed, `wrangler didn't take the secret (${exitText(exitCode)}).`, {
      advice: `Once the Worker is deployed and wrangler logged in: ${
        saved === null ? putLine(first.sha256) : fromLine(saved)
      }`,
    });
  }
}

async function madeKey({ save }: Options, path: string): Promise<FirstKey> {
  const place =
    save === undefined
      ? null
      : await takeKeyPlace(
          path,
          ` If its key is one of isha keys bootstrap that was never put: ${fromLine(path)}`,
        );
  const first = makeFirstKey(randomBytes);
  await place?.write(first.key);
  return first;
}

/** @throws CommandFailure where the file holds another key: as a first one it would be an admin key all at once. */
async function savedKey(path: string): Promise<FirstKey> {
  const key = await readKeyFile(path);
  if (key === null) throw usageFailure(`There is no file ${path}.`);
  const id = apiKeyId(key);
  if (id !== null && isFirstKeyId(id)) return firstKey(id, key);
  throw usageFailure(
    `${path} holds no key that isha keys bootstrap made, whole.`,
    "Make a new one: isha keys bootstrap --put --save <file>.",
  );
}

const exitText = (code: number | null): string =>
  code === null ? "it couldn't be run" : `exit code ${code}`;

const fromLine = (path: string): string => `npx isha keys bootstrap --put --from ${path}`;

const putLine = (sha256: string): string =>
  `printf %s ${sha256} | npx wrangler secret put ${FIRST_ADMIN_KEY_SECRET}`;

function tell({ key, sha256 }: FirstKey, saved: string | null, { out }: CommandContext): void {
  out.write(`${bold("The first admin key", out)}\n\n`);
  out.write(`  key      ${saved === null ? key : `in ${saved}`}\n  SHA-256  ${sha256}\n`);
}

interface Steps {
  readonly put: boolean;
  readonly path: string;
  /** Where commands look for a key unasked. */
  readonly usual: string;
  readonly saved: boolean;
}

const keepLine = (path: string): string => `(umask 077; mkdir -p ${dirname(path)}; cat > ${path})`;

function nextSteps({ sha256 }: FirstKey, { put, path, usual, saved }: Steps): string {
  const file = saved && path !== usual ? ` --key-file ${path}` : "";
  const steps = [
    ...(saved
      ? []
      : [`Keep the key where only you can read it (paste it, Enter, Ctrl-D):\n     ${keepLine(path)}`]),
    ...(put ? [] : [`Give its SHA-256 to the Worker:\n     ${putLine(sha256)}`]),
    "Make your own admin key with it:\n     npx isha keys create --name <your name> --scopes infer,admin --save admin-key.new" +
      file,
    `From then on the first one counts no more. Put yours in its place:\n     mv admin-key.new ${usual}`,
  ];
  return `\nNext:\n${steps.map((step, index) => `  ${index + 1}. ${step}\n`).join("")}`;
}
