// The guard, once the program that started it is gone: it runs commands first, then ends groups, then removes folders.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-guard-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("runs the commands while their folder and the groups are still there, then ends and removes both", async () => {
  const guarded = join(folder, "guarded");
  const seen = join(folder, "seen");
  const child = spawn(PROJECT_NODE, ["-e", "setInterval(() => {}, 1000)"], { detached: true });
  const exited = once(child, "exit");
  const script = `kill -0 ${child.pid} && cat "$FOLDER/file" >${seen}`;
  const guard = spawn(PROJECT_NODE, [join(ROOT, "scripts/stack/guard.ts")], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  await mkdir(guarded);
  await writeFile(join(guarded, "file"), "still here");
  const run = {
    command: "bash",
    args: ["-c", script],
    env: { PATH: process.env["PATH"] ?? "", FOLDER: guarded },
  };
  for (const message of [{ folder: guarded }, { add: child.pid }, { run }])
    guard.stdin.write(`${JSON.stringify(message)}\n`);
  guard.stdin.end();
  const [code] = await once(guard, "exit");
  expect(code).toBe(0);
  expect(await readFile(seen, "utf8")).toBe("still here");
  await exited;
  expect(existsSync(guarded)).toBe(false);
});
