// Reaches what `isha doctor` examines: addresses, programs, files. Checks use nothing else of the machine, so that tests
// can put one together.
import { execFile } from "node:child_process";
import { open, readFile, stat, statfs } from "node:fs/promises";

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  /** Up to 64 KiB. */
  readonly text: string;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
}

export interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Follows no redirect. @throws as fetch does */
  fetch(url: string, init: RequestInit, signal: AbortSignal): Promise<Answered>;
  /** Runs a program; null if there is no such program. */
  run(command: string, args: readonly string[], signal: AbortSignal): Promise<Ran | null>;
  /** Null if there is no such file, or it may not be read. */
  read(path: string): Promise<string | null>;
  /** The file's last bytes; null as in `read`. */
  tail(path: string, bytes: number): Promise<string | null>;
  /** Permission bits; null if there is no such file. */
  mode(path: string): Promise<number | null>;
  /** Free space where `path` is; null if that doesn't exist. */
  disk(path: string): Promise<{ readonly freeGib: number; readonly totalGib: number } | null>;
}

const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_OUTPUT_BYTES = 1024 * 1024;

export function realMachine(env: Machine["env"], now: () => number): Machine {
  return {
    env,
    now,
    async fetch(url, init, signal) {
      const response = await fetch(url, { ...init, redirect: "manual", signal });
      return { status: response.status, headers: response.headers, text: await readStart(response) };
    },
    run: (command, args, signal) =>
      new Promise((resolve) => {
        const options = { signal, maxBuffer: MAX_OUTPUT_BYTES, killSignal: "SIGKILL" as const };
        execFile(command, args, options, (error, stdout, stderr) => {
          const code = error === null ? 0 : error.code;
          if (code === "ENOENT" || code === "EACCES") resolve(null);
          else resolve({ code: typeof code === "number" ? code : 1, out: `${stdout}${stderr}` });
        });
      }),
    read: (path) => orNull(readFile(path, "utf8")),
    tail: (path, bytes) => orNull(readTail(path, bytes)),
    mode: async (path) => {
      const found = await orNull(stat(path));
      return found === null ? null : found.mode & 0o777;
    },
    async disk(path) {
      const found = await orNull(statfs(path));
      if (found === null) return null;
      const gib = (blocks: number): number => (blocks * found.bsize) / 1024 ** 3;
      return { freeGib: gib(found.bavail), totalGib: gib(found.blocks) };
    },
  };
}

async function readStart(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function readTail(path: string, bytes: number): Promise<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(bytes, size));
    await file.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("utf8");
  } finally {
    await file.close();
  }
}

/** Missing or unreadable is an answer; anything else is a fault. */
async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "ENOTDIR") return null;
    throw error;
  }
}
