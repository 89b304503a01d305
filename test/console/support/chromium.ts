// Finds and starts the browser of the page tests: an installed one, or Debian's, which is installed if CI runs as root.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium, type Browser, type BrowserServer } from "playwright-core";
import { takeLock } from "../../../scripts/lock.cjs";
import { WAIT_MS } from "../../support/until.ts";

const PLACES = [
  process.env["CHROMIUM"] ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const HOW_TO_GET_IT =
  "Debian, Ubuntu: `apt-get install chromium`; elsewhere Google Chrome, or CHROMIUM=/path/to/it.";

/** Keep it from sending requests of its own. */
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
    " ",
  );

const installed = (): string | null => PLACES.find((place) => place !== "" && existsSync(place)) ?? null;

/**
 * @returns its path; null, with a warning, if there is none and none may be installed
 * @throws if there is none and `CI` is set
 */
export async function findChromium(): Promise<string | null> {
  const ci = (process.env["CI"] ?? "") !== "";
  if (installed() === null && ci && process.getuid?.() === 0) await install();
  const found = installed();
  if (found !== null) return found;
  if (ci) throw new Error(`The console's page tests need a browser. ${HOW_TO_GET_IT}`);
  console.warn(`The console's page tests are not run: there is no browser. ${HOW_TO_GET_IT}`);
  return null;
}

/** One at a time: test files run side by side. */
async function install(): Promise<void> {
  const release = await takeLock(join(tmpdir(), "isha-chromium.lock"), () => {});
  try {
    if (installed() !== null) return;
    const run = promisify(execFile);
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update"], { env });
    await run("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], {
      env,
      maxBuffer: 64 * 1024 * 1024,
    });
  } finally {
    release();
  }
}

export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS, timeout: WAIT_MS });
}

/** Launches one that other processes connect to. */
export function serve(executablePath: string): Promise<BrowserServer> {
  return chromium.launchServer({ executablePath, args: FLAGS, host: "127.0.0.1", timeout: WAIT_MS });
}
