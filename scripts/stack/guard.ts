// Outlives the program that started it by seconds: when that one is gone, however it went, this runs the commands that end
// what only they can end, ends the process groups it left behind and removes its temporary folders. One `{"add":pid}`,
// `{"drop":pid}`, `{"run":command}` or `{"folder":path}` a line comes in on stdin, whose end is the signal.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

/** What a program gets to close its files before it is killed. */
const GRACE_MS = 2_000;
const POLL_MS = 50;
const RUN_LIMIT_MS = 60_000;

const groups = new Set<number>();
const folders = new Set<string>();
const commands: Run[] = [];

interface Run {
  command: string;
  args: string[];
  env: Record<string, string>;
}

function reaches(signal: NodeJS.Signals | 0, group: number) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

// The terminal's Ctrl-C is meant for the others; this one goes last.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

for await (const line of createInterface({ input: process.stdin })) {
  const message: { add?: number; drop?: number; folder?: string; run?: Run } = JSON.parse(line);
  if (message.add !== undefined) groups.add(message.add);
  if (message.drop !== undefined) groups.delete(message.drop);
  if (message.folder !== undefined) folders.add(message.folder);
  if (message.run !== undefined) commands.push(message.run);
}

for (const { command, args, env } of commands) {
  spawnSync(command, args, { env, stdio: "ignore", timeout: RUN_LIMIT_MS, killSignal: "SIGKILL" });
}

for (const group of groups) reaches("SIGTERM", group);
const deadline = performance.now() + GRACE_MS;
while (performance.now() < deadline && [...groups].some((group) => reaches(0, group))) {
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
for (const group of groups) reaches("SIGKILL", group);
for (const folder of folders) rmSync(folder, { recursive: true, force: true });
