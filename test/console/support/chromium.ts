// Finds and starts the browser of the page tests.
import { chromium, type Browser, type BrowserServer } from "playwright-core";
import { CHROMIUM_ADVICE, ensureChromium } from "../../../scripts/install/chromium.ts";
import { WAIT_MS } from "../../support/until.ts";

/** Keep it from sending requests of its own. */
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(
    " ",
  );

/**
 * @returns its path; null, with a warning, if there is none and none is needed
 * @throws if it is needed, as in CI, and there is none
 */
export async function findChromium(): Promise<string | null> {
  const { path, problem } = await ensureChromium();
  if (problem !== null) throw new Error(problem);
  if (path === null) {
    console.warn(`The console's page tests are not run: there is no browser. ${CHROMIUM_ADVICE}`);
  }
  return path;
}

export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS, timeout: WAIT_MS });
}

/** Launches one that other processes connect to. */
export function serve(executablePath: string): Promise<BrowserServer> {
  return chromium.launchServer({ executablePath, args: FLAGS, host: "127.0.0.1", timeout: WAIT_MS });
}
