// The admin key on an operator's machine: a file that nobody else can read.
import { constants } from "node:fs";
import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CommandFailure, EXIT, usageFailure } from "../failure.ts";

/** Any bit for the group or for others. */
const OTHERS = 0o077;
/** No key is longer by far; a larger file is some other one. */
const MAX_FILE_BYTES = 4096;

export const adminKeyFile = (homeFolder: string): string => join(homeFolder, ".isha", "admin-key");

/**
 * The key in a file; null where there is no such file.
 * @throws CommandFailure where it can be read by others, or isn't a file with a key.
 */
export async function readKeyFile(path: string): Promise<string | null> {
  const file = await openToRead(path);
  if (file === null) return null;
  try {
    const { mode, size } = await checked(file, path);
    if ((mode & OTHERS) !== 0) {
      throw usageFailure(
        `${path} can be read by others on this machine, so its key isn't used.`,
        `Make it yours alone: chmod 600 ${path}. If others use this machine, rotate the key as well.`,
      );
    }
    if (size > MAX_FILE_BYTES) throw usageFailure(`${path} is no key: it holds ${size} bytes.`);
    return (await file.readFile("utf8")).trim();
  } finally {
    await file.close();
  }
}

async function openToRead(path: string): Promise<FileHandle | null> {
  try {
    // A FIFO would keep us waiting for its writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw usageFailure(`${path} can't be read (${codeOf(error)}).`);
  }
}

async function checked(file: FileHandle, path: string): Promise<{ mode: number; size: number }> {
  const stats = await file.stat();
  if (!stats.isFile()) throw usageFailure(`${path} is no file.`);
  return stats;
}

/** A place for a key, taken before the key is made: one that can't be written down would be lost. */
export interface KeyPlace {
  readonly path: string;
  write(key: string): Promise<void>;
  /** Gives the place back unused. */
  abandon(): Promise<void>;
}

/**
 * @param instead what else can be done where the file is there already
 * @throws CommandFailure where there is a file already: it may hold the only copy of a key.
 */
export async function takeKeyPlace(path: string, instead = ""): Promise<KeyPlace> {
  const file = await openNew(path, instead);
  return {
    path,
    async write(key) {
      await file.writeFile(`${key}\n`);
      await file.sync();
      await file.close();
    },
    async abandon() {
      await file.close();
      await rm(path, { force: true });
    },
  };
}

async function openNew(path: string, instead: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (codeOf(error) === "EEXIST") {
      throw new CommandFailure(EXIT.failed, `${path} is there already, and is not written over.`, {
        advice: `Move it away if its key is needed no more, or name another file: --save <file>.${instead}`,
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
