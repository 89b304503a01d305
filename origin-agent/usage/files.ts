// Lists, reads and writes the files in the journals' folder; it knows nothing of their content. A file is named
// `<epoch>.<number>.journal`; the numbers of an epoch ascend.
import { closeSync, constants, fdatasync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** One file of an epoch. */
export interface Segment {
  readonly epoch: string;
  readonly number: number;
}

export interface FoundSegment extends Segment {
  readonly bytes: number;
  /** Time of the last write, milliseconds since 1970. */
  readonly changedAt: number;
}

/** The disk operations of a journal; tests use a failing disk. */
export interface JournalFiles {
  /** Creates a file for appending; throws if that fails. */
  create(segment: Segment): number;
  /** Writes to the kernel synchronously. @returns the number of bytes written */
  write(fd: number, bytes: Buffer): number;
  /** Resolves once everything written so far is on the disk. */
  sync(fd: number): Promise<void>;
  close(fd: number): void;
  /** Removes a file that was just created. */
  discard(segment: Segment): void;
  list(): Promise<FoundSegment[]>;
  /** Reads up to `length` bytes; fewer at the file's end, none if there is no file. */
  read(segment: Segment, offset: number, length: number): Promise<Buffer>;
  /** Appends to an existing file; a removed file isn't created again. */
  append(segment: Segment, text: string): Promise<void>;
  remove(segment: Segment): Promise<void>;
}

/** Journals contain key ids and times of calls, so only the agent's own user may read them. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Errors of file systems that don't support sync. */
const SYNC_UNSUPPORTED = new Set(["EINVAL", "ENOTSUP", "ENOSYS"]);
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
          error === null || SYNC_UNSUPPORTED.has(error.code ?? "") ? resolve() : reject(error),
        );
      }),
    close: (fd) => closeSync(fd),
    discard: (segment) => unlinkSync(pathOf(segment)),
    async list() {
      const names = await orIfAbsent(readdir(folder), []);
      const found = await Promise.all(names.map((name) => describe(folder, name)));
      return found.filter((segment) => segment !== null);
    },
    async read(segment, offset, length) {
      const file = await orIfAbsent(open(pathOf(segment), "r"), null);
      if (file === null) return Buffer.alloc(0);
      try {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
        return buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
    async append(segment, text) {
      const file = await orIfAbsent(open(pathOf(segment), constants.O_WRONLY | constants.O_APPEND), null);
      if (file === null) return;
      try {
        await file.write(text);
      } finally {
        await file.close();
      }
    },
    remove: (segment) => orIfAbsent(unlink(pathOf(segment)), undefined),
  };
}

async function describe(folder: string, name: string): Promise<FoundSegment | null> {
  const [, epoch, number] = NAME.exec(name) ?? [];
  if (epoch === undefined) return null;
  const info = await orIfAbsent(stat(join(folder, name)), null);
  if (info === null || !info.isFile()) return null;
  return { epoch, number: Number(number), bytes: info.size, changedAt: info.mtimeMs };
}

/** A new file's name is on the disk only after a sync of its folder; if that fails, the file's own sync reports it. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Not every file system supports it.
  }
}

/** Returns `fallback` if the file or folder doesn't exist. */
async function orIfAbsent<T, U>(result: Promise<T>, fallback: U): Promise<T | U> {
  try {
    return await result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return fallback;
    throw error;
  }
}
