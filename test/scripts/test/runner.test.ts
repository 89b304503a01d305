// `npm test` as a process: bad input, a machine that lacks something, interruption. Each has a message, an exit code,
// and a last line that CI can read.
import { spawn, execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { until } from "../../support/until.ts";

const RUNNER = resolve("scripts/test.ts");
const A_TEST = "test/shared/backoff.test.ts";
const NOT_ONE_PASSED = "\n\n0 passed, 1 failed, 0 skipped\n";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-runner-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function startRunner(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [RUNNER, ...args], { env: { ...process.env, CI: "", ...env } });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += String(chunk)));
  const ended = new Promise<{ code: number | null; text: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, text }));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { child, ended, text: () => text };
}

/** The processes that a process started. */
async function childrenOf(parent: number | undefined): Promise<{ pid: number; command: string }[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,args="]);
  const rows = [...stdout.matchAll(/^ *(\d+) +(\d+) (.*)$/gm)];
  return rows
    .filter(([, , ppid]) => Number(ppid) === parent)
    .map(([, pid, , command = ""]) => ({ pid: Number(pid), command }));
}

const isBusyLoop = ({ command }: { command: string }): boolean => command.includes("while (process.ppid ===");

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("npm test", () => {
  it.each([
    ["a folder that isn't there", () => join(folder, "none"), "ENOENT"],
    ["a file", () => join(folder, "file"), "ENOTDIR"],
  ])("refuses a TMPDIR that is %s", async (_what, path, reason) => {
    await writeFile(join(folder, "file"), "");
    const { code, text } = await startRunner(["unit", A_TEST], { TMPDIR: path() }).ended;
    expect(code).toBe(1);
    expect(text).toMatch(/^TMPDIR can't be written \(/);
    expect(text).toContain(reason);
    expect(text).toContain("Set TMPDIR to a folder that exists and can be written.");
    expect(text.endsWith(NOT_ONE_PASSED)).toBe(true);
  });

  it("refuses tests in a browser that isn't there", async () => {
    const { code, text } = await startRunner(["pages"], { CHROMIUM: "/opt/none" }).ended;
    expect(code).toBe(1);
    expect(text).toMatch(/^CHROMIUM=\/opt\/none: there is no such file\. .*apt-get install chromium/);
    expect(text.endsWith(NOT_ONE_PASSED)).toBe(true);
  });

  it("needs no home folder", async () => {
    const { code, text } = await startRunner([A_TEST], { HOME: "/none", PM2_HOME: "/none/pm2" }).ended;
    expect([code, text]).toEqual([0, expect.stringMatching(/\n\n\d+ passed, 0 failed, 0 skipped\n$/)]);
  });

  it("fails if no test has the name that was asked for", async () => {
    const { code, text } = await startRunner(["test/shared/no-such.test.ts"]).ended;
    expect(code).toBe(1);
    expect(text).toContain("No test matches test/shared/no-such.test.ts.");
    expect(text.endsWith(NOT_ONE_PASSED)).toBe(true);
  });

  it("ends at Ctrl-C with what it knows, and exit code 130", async () => {
    const { child, ended, text } = startRunner(["check", "unit"]);
    await until(() => text().includes("check    started"));
    child.kill("SIGINT");
    const { code } = await ended;
    expect(code).toBe(130);
    expect(text()).toMatch(
      /\nended +check .*\nnot run unit\n\nInterrupted\.\n\n0 passed, 1 failed, 0 skipped\n$/,
    );
  });
});

describe("npm test -- --again", () => {
  it("is refused without a number of runs, with the usage", async () => {
    const { code, text } = await startRunner(["--again", A_TEST]).ended;
    expect(code).toBe(1);
    expect(text).toMatch(/^--again needs a number of runs from 1 to 10000; got "test\/[^]*Usage: npm test/);
  });

  it("runs a file as often as it says, and ends its busy loops", async () => {
    const { child, ended } = startRunner(["--again", "2", A_TEST]);
    const loops = await until(async () => {
      const found = (await childrenOf(child.pid)).filter(isBusyLoop);
      return found.length > 0 && found;
    });
    const { code, text } = await ended;
    expect(text).toMatch(/\n +runs +passed +failed {2}file\n +2 +2 +0 {2}test\/shared\/backoff\.test\.ts\n/);
    expect(text).toMatch(/\n\d+ passed, 0 failed, 0 skipped\n$/);
    expect(code).toBe(0);
    expect(loops.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  it("leaves no busy loop behind if it is killed outright", async () => {
    const { child } = startRunner(["--again", "1000", A_TEST]);
    const loops = await until(async () => {
      const found = (await childrenOf(child.pid)).filter(isBusyLoop);
      return found.length > 0 && found;
    });
    child.kill("SIGKILL");
    await until(() => loops.every(({ pid }) => !isAlive(pid)));
  });

  it("refuses a file that isn't there", async () => {
    const { code, text } = await startRunner(["--again", "5", A_TEST, "test/no-such.test.ts"]).ended;
    expect([code, text]).toEqual([1, `There is no test file test/no-such.test.ts.${NOT_ONE_PASSED}`]);
  });
});
