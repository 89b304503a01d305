// Opens the console in a browser, on a fake edge, and records what the page must never do.
import { chromium, type Browser, type Page } from "playwright-core";
import { inject } from "vitest";
import { until, WAIT_MS } from "../../support/until.ts";
import { ADMIN_KEY, FakeEdge } from "./fake-edge.ts";
import type { FakeFleet } from "./fake-fleet.ts";
import { busyFleet } from "./scenes.ts";

/** The address of the browser that all page tests share; null if there is none: then the tests are skipped. */
export const BROWSER = inject("browser");

/** Step of the page's clock while a test waits for its timers. */
const STEP_MS = 1_000;

interface PageOptions {
  readonly scene?: (clock: () => number) => FakeFleet;
  readonly colorScheme?: "light" | "dark";
  readonly width?: number;
}

export interface TestPage {
  readonly edge: FakeEdge;
  readonly page: Page;
  readonly url: string;
  /** Errors, violations of the page's policy, requests to other hosts. */
  readonly violations: string[];
}

export class TestBrowser {
  #browser: Browser | null = null;
  readonly #closing = new Map<TestPage, () => Promise<void>>();
  #shared: TestPage | null = null;

  async open(): Promise<void> {
    this.#browser = await chromium.connect(BROWSER ?? "", { timeout: WAIT_MS });
  }

  /** Closes the pages of the last test; the shared one only if the test failed. */
  async clear(failed: boolean): Promise<void> {
    if (failed) this.#shared = null;
    for (const [testPage, close] of this.#closing) {
      if (testPage === this.#shared) continue;
      this.#closing.delete(testPage);
      await close();
    }
  }

  async close(): Promise<void> {
    await this.clear(true);
    await this.#browser?.close();
  }

  /** A page before the sign-in. Its clock runs and can be moved. */
  async signedOut({
    scene = busyFleet,
    colorScheme = "light",
    width = 1280,
  }: PageOptions = {}): Promise<TestPage> {
    const edge = new FakeEdge(scene(Date.now));
    const url = await edge.start();
    const context = await this.#browser?.newContext({ colorScheme, viewport: { width, height: 900 } });
    if (context === undefined) throw new Error("no browser");
    context.setDefaultTimeout(WAIT_MS);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    await context.addInitScript(prepare);
    await context.clock.install();
    const page = await context.newPage();
    const testPage = { edge, page, url, violations: recordViolations(page, url) };
    this.#closing.set(testPage, async () => {
      await context.close();
      await edge.stop();
    });
    await page.goto(`${url}/console`);
    return testPage;
  }

  async signedIn(options: PageOptions = {}): Promise<TestPage> {
    const testPage = await this.signedOut(options);
    await signIn(testPage.page, ADMIN_KEY);
    await testPage.page.getByRole("heading", { level: 1 }).waitFor();
    await testPage.page.getByRole("navigation").waitFor();
    // The page moves the focus there after its first paint; later it would take it from the test's element.
    await until(() => testPage.page.evaluate(() => document.activeElement?.id === "main"));
    return testPage;
  }

  /** A signed-in page that the tests of a file share, reset to the overview of a busy fleet. */
  async shared(): Promise<TestPage> {
    this.#shared ??= await this.signedIn();
    const { edge, page, violations } = this.#shared;
    edge.reset(busyFleet(Date.now));
    await advanceUntil(page, () => edge.openStreams > 0);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    await page.setViewportSize({ width: 1280, height: 900 });
    // Leaving the view closes its dialogs.
    await page.evaluate(() => (location.hash = "#playground"));
    await page.getByRole("heading", { level: 1, name: "Playground" }).waitFor();
    await page.evaluate(() => (location.hash = "#overview"));
    await page.getByRole("heading", { level: 1, name: /^All five servers are up$/ }).waitFor();
    await page.evaluate(() => void ((globalThis as Announcing).announcements = []));
    violations.length = 0;
    return this.#shared;
  }
}

/** Advances the page's clock until the condition holds. */
export function advanceUntil(page: Page, check: () => boolean | Promise<boolean>): Promise<true> {
  return until(async () => {
    if (await check()) return true;
    await page.clock.fastForward(STEP_MS);
    return false;
  }, String(check));
}

/** Pauses the page's clock: no timer fires and no frame is drawn until `page.clock.resume()`. */
export async function pauseClock(page: Page): Promise<void> {
  // The clock pauses at a future time, which a slow machine may miss.
  await until(async () => {
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 2 * STEP_MS);
    return true;
  });
}

/** Opens a view of a signed-in page. */
export async function openView(
  testPage: TestPage,
  view: "Keys" | "Usage" | "Playground" | "Audit",
): Promise<TestPage> {
  await testPage.page.getByRole("link", { name: view, exact: true }).click();
  await testPage.page.getByRole("heading", { level: 1, name: view }).waitFor();
  return testPage;
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("Admin key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Waits until a live region has shown this text; some disappear after a few seconds. */
export async function announced(page: Page, text: string): Promise<void> {
  await until(
    () => page.evaluate((text) => (globalThis as Announcing).announcements?.includes(text), text),
    `the page announces ${text}`,
  );
}

interface Announcing {
  announcements?: string[];
}

/** Runs in the page before its own code. */
function prepare(): void {
  // No request times out on a slow machine.
  AbortSignal.timeout = () => new AbortController().signal;
  const page = globalThis as Announcing;
  const record = (): void => {
    page.announcements ??= [];
    for (const region of document.querySelectorAll('[role="status"]')) {
      const text = region.textContent ?? "";
      if (text !== "" && !page.announcements.includes(text)) page.announcements.push(text);
    }
  };
  new MutationObserver(record).observe(document, { childList: true, characterData: true, subtree: true });
}

function recordViolations(page: Page, url: string): string[] {
  const violations: string[] = [];
  page.on("console", (message) => {
    // Chrome logs every refused request; the tests cause those.
    const refused = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !refused) violations.push(message.text());
  });
  page.on("pageerror", (error) => violations.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith("data:"))
      violations.push(request.url());
  });
  return violations;
}

/** Everything that outlives the page's memory: storage, cookies, addresses. */
export async function persistedState(page: Page): Promise<string> {
  const state = await page.evaluate(async () => ({
    local: JSON.stringify(localStorage),
    session: JSON.stringify(sessionStorage),
    databases: (await indexedDB.databases()).map(({ name }) => name),
    caches: await caches.keys(),
    cookie: document.cookie,
    address: location.href,
    history: JSON.stringify(history.state),
    name: window.name,
  }));
  return JSON.stringify([state, await page.context().cookies()]);
}
