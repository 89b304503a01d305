// The journals' folder: which files there are, and the few things done to them. Nothing of what stands in them is
// known here. Names: `<epoch>.<number>.journal`, the number growing along an epoch.
import { closeSync, constants, fdatasync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** A file of an epoch. */
export interface Segment {
  readonly epoch: string;
  readonly number: number;
}

export interface FoundSegment extends Segment {
  readonly bytes: number;
  /** When it was last written to, milliseconds since 1970. */
  readonly changedAt: number;
}

/** What a journal needs of a disk; tests put a failing one in its place. */
export interface JournalFiles {
  /** Makes a new file for appending; throws where that can't be. */
  create(segment: Segment): number;
  /** Writes now, into the kernel: how many bytes it took, or an error of the system's. */
  write(fd: number, bytes: Buffer): number;
  /** Resolves once what was written so far is on the disk itself. */
  sync(fd: number): Promise<void>;
  close(fd: number): void;
  /** Removes a file that was just made. */
  discard(segment: Segment): void;
  list(): Promise<FoundSegment[]>;
  /** Up to so many bytes from a place on; fewer at the file's end, none where there is no file. */
  read(segment: Segment, from: number, length: number): Promise<Buffer>;
  /** Adds to a file that is there; one that is gone stays gone. */
  append(segment: Segment, text: string): Promise<void>;
  remove(segment: Segment): Promise<void>;
}

/** Journals hold key ids and times of calls: for the agent's own user alone. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** What a file system says that has no such thing as a sync: nothing can be done about it. */
const CANNOT_SYNC = new Set(["EINVAL", "ENOTSUP", "ENOSYS"]);
const NAME = /^([A-Za-z0-9-]{1,64})\.(\d{6})\.journal$/;

export function journalFolder(folder: string): JournalFiles {
  const pathOf = ({ epoch, number }: Segment): string =>
    join(folder, `${epoch}.${String(number).padStart(6, "0")}.journal`);
  return {
    create(segment) {
      mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
      const fd = openSync(
        pathOf(segment),
        constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL,
        FILE_MODE,
      );
      void syncFolder(folder);
      return fd;
    },
    write: (fd, bytes) => writeSync(fd, bytes),
    sync: (fd) =>
      new Promise((resolve, reject) => {
        fdatasync(fd, (error) =>
          error === null || CANNOT_SYNC.has(error.code ?? "") ? resolve() : reject(error),
        );
      }),
    close: (fd) => closeSync(fd),
    discard: (segment) => unlinkSync(pathOf(segment)),
    async list() {
      const names = await absent(readdir(folder), []);
      const found = await Promise.all(names.map((name) => describe(folder, name)));
      return found.filter((segment) => segment !== null);
    },
    async read(segment, from, length) {
      const file = await absent(open(pathOf(segment), "r"), null);
      if (file === null) return Buffer.alloc(0);
      try {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, from);
        return buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
    async append(segment, text) {
      const file = await absent(open(pathOf(segment), constants.O_WRONLY | constants.O_APPEND), null);
      if (file === null) return;
      try {
        await file.write(text);
      } finally {
        await file.close();
      }
    },
    remove: (segment) => absent(unlink(pathOf(segment)), undefined),
  };
}

async function describe(folder: string, name: string): Promise<FoundSegment | null> {
  const [, epoch, number] = NAME.exec(name) ?? [];
  if (epoch === undefined) return null;
  const info = await absent(stat(join(folder, name)), null);
  if (info === null || !info.isFile()) return null;
  return { epoch, number: Number(number), bytes: info.size, changedAt: info.mtimeMs };
}

/** A new file's name reaches the disk only with its folder; a folder that can't be synced is found out by the file's own sync. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Not every file system can.
  }
}

async function absent<T, U>(wanted: Promise<T>, instead: U): Promise<T | U> {
  try {
    return await wanted;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return instead;
    throw error;
  }
}
