// Runs commands on the rehearsal's box as its operator does, and reads what `isha doctor` reports.
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { guardCommand } from "../stack/program.ts";
import type { Tree } from "./tree.ts";

/** Far beyond what a step takes on a starved machine: only a hang reaches it. */
export const LIMIT_MS = 300_000;
const PAUSE_MS = 200;
const SHOWN_CHARACTERS = 1_500;

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Finding {
  readonly check: string;
  readonly verdict: "fine" | "wrong" | "unknown" | "noted" | "skipped";
  readonly text: string;
  readonly fix?: string;
}

/** A step that went otherwise than the documents state. */
export class Difference extends Error {}

export interface Box {
  readonly tree: Tree;
  /** Runs a line of shell in the clone. @throws Difference unless it exits with 0 */
  readonly sh: (line: string, more?: Readonly<Record<string, string>>) => Promise<string>;
  /** Like `sh`, for a command that may fail. */
  readonly try: (line: string, more?: Readonly<Record<string, string>>) => Promise<Ran>;
  readonly doctor: (more?: Readonly<Record<string, string>>, prefix?: string) => Promise<readonly Finding[]>;
  /** Repeats a look until it returns something. @throws Difference that names what never came */
  readonly until: <T>(what: string, look: () => Promise<T | null>) => Promise<T>;
  /** What doctor reported last. */
  readonly lastFindings: () => readonly Finding[];
  /** Ends PM2 with everything it runs, and removes the tree. */
  readonly end: () => Promise<void>;
}

/** Without a daemon, `pm2 kill` would start one. */
const KILL_PM2 = '[[ ! -e "$HOME/.pm2/pm2.pid" ]] || pm2 kill';

/** Ends what PM2 left, or all of it if PM2 itself hangs: every process with the tree's home, which no other program has. */
const KILL_REST = `for round in 1 2 3 4 5; do
  found=
  for file in /proc/[0-9]*/environ; do
    pid=\${file//[!0-9]/}
    [[ $pid != $$ ]] && grep -qsaFzx "HOME=$HOME" "$file" && kill -9 "$pid" 2>/dev/null && found=$pid
  done
  [[ $found ]] || break
done`;

export function openBox(tree: Tree, signal: AbortSignal): Box {
  let findings: readonly Finding[] = [];
  // Before anything of the box runs: PM2's daemon outlives the commands, and this process may be killed.
  for (const line of [KILL_PM2, KILL_REST])
    guardCommand({ command: "bash", args: ["-c", line], env: { ...tree.env } });
  const run = (line: string, more: Readonly<Record<string, string>> = {}, limit = signal): Promise<Ran> =>
    new Promise((resolve) => {
      execFile(
        "bash",
        ["-c", line],
        {
          cwd: tree.clone,
          env: { ...tree.env, ...more },
          signal: limit,
          timeout: LIMIT_MS,
          maxBuffer: 1 << 24,
        },
        (error, out, err) => {
          const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
          resolve({ code, out, err });
        },
      );
    });
  const checked: Box["try"] = async (line, more) => {
    const ran = await run(line, more);
    signal.throwIfAborted();
    return ran;
  };
  const box: Box = {
    tree,
    try: checked,
    async sh(line, more) {
      const ran = await checked(line, more);
      if (ran.code === 0) return ran.out;
      throw new Difference(`${line}\nexited with ${ran.code}:\n${last(`${ran.out}${ran.err}`)}`);
    },
    async doctor(more, prefix = "") {
      const { code, out, err } = await checked(`${prefix}isha doctor --box box1 --json`, more);
      try {
        findings = JSON.parse(out) as Finding[];
        return findings;
      } catch {
        throw new Difference(
          `isha doctor --json exited with ${code} and printed no JSON:\n${last(`${out}${err}`)}`,
        );
      }
    },
    async until(what, look) {
      for (const deadline = performance.now() + LIMIT_MS; performance.now() < deadline;) {
        const found = await look();
        if (found !== null) return found;
        signal.throwIfAborted();
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      throw new Difference(`${what}: not within ${LIMIT_MS / 1000} s`);
    },
    lastFindings: () => findings,
    async end() {
      for (const line of [KILL_PM2, KILL_REST]) await run(line, {}, AbortSignal.timeout(LIMIT_MS));
      await rm(tree.folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return box;
}

const last = (text: string): string => text.trim().slice(-SHOWN_CHARACTERS);

/** What PM2 keeps of its programs' output, for a report of a difference. */
export async function lastLines({ tree }: Box): Promise<string> {
  const script =
    'for file in "$HOME"/.pm2/pm2.log "$HOME"/.pm2/logs/*; do echo "--- $file"; tail -n 12 "$file"; done';
  return new Promise((resolve) => {
    execFile("bash", ["-c", script], { env: tree.env }, (_error, out) => resolve(out));
  });
}
