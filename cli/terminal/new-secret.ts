// A secret that was just made, told once: on the terminal, or into a file that was taken for it beforehand.
import { resolve } from "node:path";
import type { Command } from "commander";
import type { KeyWithSecret } from "../../shared/keys.ts";
import type { Answer } from "../api/admin-api.ts";
import { takeKeyPlace, type KeyPlace } from "../api/admin-key-file.ts";
import { writeJson, type OutputOptions } from "../options/common-options.ts";
import { keyFields } from "./key-text.ts";
import type { CommandContext } from "../context.ts";
import { bold, fieldsText } from "./table.ts";

export interface SaveOptions extends OutputOptions {
  readonly save?: string;
}

export function addSaveOption(command: Command): Command {
  return command.option("--save <file>", "write the key to a new file of mode 0600 instead of showing it");
}

/** Makes a key and tells it. The file's place is taken first: a key that can't be written down would be lost. */
export async function tellNewKey(
  options: SaveOptions,
  around: CommandContext,
  make: () => Promise<Answer<KeyWithSecret>>,
  title: (key: KeyWithSecret) => string,
): Promise<void> {
  const place = options.save === undefined ? null : await takeKeyPlace(resolve(around.folder, options.save));
  const answer = await made(make, place);
  const { key, ...view } = answer.value;
  const saved = place !== null && (await written(place, key, around));
  if (options.json === true) {
    writeJson(around.out, answer.raw);
    return;
  }
  const { out } = around;
  const told = saved ? `in ${place.path}` : key;
  out.write(`${bold(title(answer.value), out)}\n\n`);
  out.write(fieldsText([...keyFields(view, around.now()), ["key", told]]));
  if (!saved) {
    around.err.write(
      "\nThe key is shown this once: nobody can read it again. Pass it on by a way that keeps it secret.\n",
    );
  }
}

async function made(make: () => Promise<Answer<KeyWithSecret>>, place: KeyPlace | null) {
  try {
    return await make();
  } catch (error) {
    await place?.abandon();
    throw error;
  }
}

/** Whether the key is in its file; where not (a full disk) it is shown after all. */
async function written(place: KeyPlace, key: string, around: CommandContext): Promise<boolean> {
  try {
    await place.write(key);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    around.err.write(`isha: ${place.path} couldn't be written (${code}), so the key is shown here.\n`);
    return false;
  }
}
