// The browser that drives the console in tests: one that is installed, or Debian's, which CI installs as root.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import lock from "./lock.cjs";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

export const CHROMIUM_ADVICE =
  "Debian, Ubuntu: apt-get install chromium; elsewhere install Google Chrome, or set CHROMIUM=/path/to/it.";

/** Of apt-get's output, what may be kept while it runs. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface Machine {
  environment: NodeJS.ProcessEnv;
  exists: (path: string) => boolean;
  isRoot: boolean;
  /** Debian's */
  install: () => Promise<unknown>;
}

/** `problem`: why tests can't go on without it */
interface Browser {
  path: string | null;
  problem: string | null;
}

const THIS_MACHINE: Machine = {
  environment: process.env,
  exists: existsSync,
  isRoot: process.getuid?.() === 0,
  install: installFromDebian,
};

/** Outside CI the tests may go on without a browser; in CI they may not. */
export async function ensureChromium({
  onInstall = () => {},
  machine = THIS_MACHINE,
}: { onInstall?: () => void; machine?: Machine } = {}): Promise<Browser> {
  const { environment, isRoot, install } = machine;
  const chosen = environment["CHROMIUM"] ?? "";
  if (chosen !== "" && !machine.exists(chosen)) {
    return { path: null, problem: `CHROMIUM=${chosen}: there is no such file. ${CHROMIUM_ADVICE}` };
  }
  const found = findIn(machine);
  const isCi = (environment["CI"] ?? "") !== "";
  if (found !== null || !isCi) return { path: found, problem: null };
  if (!isRoot) {
    return {
      path: null,
      problem: `There is no Chromium, and CI runs the tests in a browser. ${CHROMIUM_ADVICE}`,
    };
  }
  try {
    onInstall();
    await install();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { path: null, problem: `Chromium could not be installed: ${reason}\n${CHROMIUM_ADVICE}` };
  }
  const path = findIn(machine);
  const problem = path === null ? `apt-get installed no Chromium that is found. ${CHROMIUM_ADVICE}` : null;
  return { path, problem };
}

function findIn({ environment, exists }: Machine) {
  return [environment["CHROMIUM"] ?? "", ...PLACES].find((place) => place !== "" && exists(place)) ?? null;
}

/** One at a time: test files run alongside each other. */
async function installFromDebian() {
  const release = await lock.takeLock(join(tmpdir(), "isha-chromium.lock"), () => {});
  try {
    if (findIn(THIS_MACHINE) !== null) return;
    const run = promisify(execFile);
    const options = {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      maxBuffer: MAX_OUTPUT_BYTES,
    };
    await run("apt-get", ["update"], options);
    await run("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], options);
  } finally {
    release();
  }
}
