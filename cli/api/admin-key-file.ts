// The admin key on an operator's machine: a file that only the operator can read.
import { constants } from "node:fs";
import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";
import { isOpenToOthers } from "../files.ts";

/** Far more than a key: a larger file is something else. */
const MAX_FILE_BYTES = 4096;

export const adminKeyFile = (homeFolder: string): string => join(homeFolder, ".isha", "admin-key");

/**
 * The key in a file; null if there is no such file.
 * @throws CommandFailure if other users can read the file, or if it doesn't contain a key.
 */
export async function readKeyFile(path: string): Promise<string | null> {
  const file = await openToRead(path);
  if (file === null) return null;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw usageFailure(`${path} is not a file.`);
    if (isOpenToOthers(stats.mode)) {
      throw usageFailure(
        `Other users of this machine can read ${path}, so its key isn't used.`,
        `Remove their access: chmod 600 ${path}. If there are other users, rotate the key as well.`,
      );
    }
    if (stats.size > MAX_FILE_BYTES) throw usageFailure(`${path} is not a key: it has ${stats.size} bytes.`);
    return (await file.readFile("utf8")).trim();
  } finally {
    await file.close();
  }
}

async function openToRead(path: string): Promise<FileHandle | null> {
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw usageFailure(`${path} can't be read (${codeOf(error)}).`);
  }
}

/** An empty file for a key, created before the key: a key that can't be saved would be lost. */
export interface NewKeyFile {
  readonly path: string;
  write(key: string): Promise<void>;
  /** Removes the file unused. */
  discard(): Promise<void>;
}

/**
 * @param alternative what else the operator can do if the file exists
 * @throws CommandFailure if the file exists: it may contain the only copy of a key.
 */
export async function createKeyFile(path: string, alternative = ""): Promise<NewKeyFile> {
  const file = await openNew(path, alternative);
  return {
    path,
    async write(key) {
      await file.writeFile(`${key}\n`);
      await file.sync();
      await file.close();
    },
    async discard() {
      await file.close();
      await rm(path, { force: true });
    },
  };
}

async function openNew(path: string, alternative: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (codeOf(error) === "EEXIST") {
      throw new CommandFailure(EXIT.failed, `${path} exists already and is not overwritten.`, {
        advice: `Move it away if its key is no longer needed, or name another file: --save <file>.${alternative}`,
      });
    }
    throw new CommandFailure(EXIT.failed, `${path} can't be written (${codeOf(error)}).`);
  }
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === undefined) throw error;
  return code;
}
