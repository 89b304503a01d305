// Shows a new secret once: on the terminal, or in a file that is created before the key.
import { resolve } from "node:path";
import type { Command } from "commander";
import type { KeyWithSecret } from "../../shared/keys.ts";
import type { Answer } from "../api/admin-api.ts";
import { createKeyFile, type NewKeyFile } from "../api/admin-key-file.ts";
import { writeJson, type OutputOptions } from "../options/common.ts";
import { keyFields } from "./key-text.ts";
import type { CommandContext } from "../context.ts";
import { bold, fieldsText } from "./table.ts";

export interface SaveOptions extends OutputOptions {
  readonly save?: string;
}

export function addSaveOption(command: Command): Command {
  return command.option("--save <file>", "write the key to a new file of mode 0600 instead of showing it");
}

/** Creates a key and shows it. The file is created first: a key that can't be saved would be lost. */
export async function showNewKey(
  options: SaveOptions,
  io: CommandContext,
  create: () => Promise<Answer<KeyWithSecret>>,
  title: (key: KeyWithSecret) => string,
): Promise<void> {
  const file = options.save === undefined ? null : await createKeyFile(resolve(io.folder, options.save));
  const answer = await createOrDiscard(create, file);
  const { key, ...view } = answer.value;
  const saved = file !== null && (await save(file, key, io));
  const { out } = io;
  if (options.json === true) return writeJson(out, answer.raw);
  out.write(`${bold(title(answer.value), out)}\n\n`);
  out.write(fieldsText([...keyFields(view, io.now()), ["key", saved ? `in ${file.path}` : key]]));
  if (!saved) {
    io.err.write(
      "\nThe key is shown only once and can't be read again. Send it over a confidential channel.\n",
    );
  }
}

async function createOrDiscard(
  create: () => Promise<Answer<KeyWithSecret>>,
  file: NewKeyFile | null,
): Promise<Answer<KeyWithSecret>> {
  try {
    return await create();
  } catch (error) {
    await file?.discard();
    throw error;
  }
}

/** Whether the key was written; if not (a full disk), it must be shown. */
async function save(file: NewKeyFile, key: string, io: CommandContext): Promise<boolean> {
  try {
    await file.write(key);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    io.err.write(`isha: ${file.path} couldn't be written (${code}), so the key is shown here.\n`);
    return false;
  }
}
