// A signed-in page on a simulated fleet, and a record of all that a page of ours must never do.
import { chromium, type Browser, type Page } from "playwright-core";
import { inject } from "vitest";
import { until, WAIT_MS } from "../../support/until.ts";
import { ADMIN_KEY, FakeEdge } from "./fake-edge.ts";
import type { FakeFleet } from "./fake-fleet.ts";
import { busyFleet } from "./scenes.ts";

/** The address of the browser that all page tests share; null if there is none, and they are skipped. */
export const BROWSER = inject("browser");

/** How far the page's clock jumps while a test waits for what its timers do. */
const JUMP_MS = 1_000;

interface StageOptions {
  readonly scene?: (clock: () => number) => FakeFleet;
  readonly colorScheme?: "light" | "dark";
  readonly width?: number;
}

export interface Stage {
  readonly edge: FakeEdge;
  readonly page: Page;
  readonly url: string;
  /** What the page did that none of ours may: errors, breaches of its policy, requests to other hosts. */
  readonly misdeeds: string[];
}

export class Theatre {
  #browser: Browser | null = null;
  readonly #closing = new Map<Stage, () => Promise<void>>();
  #shared: Stage | null = null;

  async open(): Promise<void> {
    this.#browser = await chromium.connect(BROWSER ?? "", { timeout: WAIT_MS });
  }

  /** Ends the stages of the last test; the shared one only if the test failed. */
  async clear(failed: boolean): Promise<void> {
    if (failed) this.#shared = null;
    for (const [stage, close] of this.#closing) {
      if (stage === this.#shared) continue;
      this.#closing.delete(stage);
      await close();
    }
  }

  async close(): Promise<void> {
    await this.clear(true);
    await this.#browser?.close();
  }

  /** The page before the operator has signed in. Its clock runs, and can be moved. */
  async stage({ scene = busyFleet, colorScheme = "light", width = 1280 }: StageOptions = {}): Promise<Stage> {
    const edge = new FakeEdge(scene(Date.now));
    const url = await edge.start();
    const context = await this.#browser?.newContext({ colorScheme, viewport: { width, height: 900 } });
    if (context === undefined) throw new Error("no browser");
    context.setDefaultTimeout(WAIT_MS);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    await context.addInitScript(prepare);
    await context.clock.install();
    const page = await context.newPage();
    const stage = { edge, page, url, misdeeds: watch(page, url) };
    this.#closing.set(stage, async () => {
      await context.close();
      await edge.stop();
    });
    await page.goto(`${url}/console`);
    return stage;
  }

  async signedIn(options: StageOptions = {}): Promise<Stage> {
    const stage = await this.stage(options);
    await signIn(stage.page, ADMIN_KEY);
    await stage.page.getByRole("heading", { level: 1 }).waitFor();
    await stage.page.getByRole("navigation").waitFor();
    // The page moves the focus there once it has painted; later it would take it from what the test focused.
    await until(() => stage.page.evaluate(() => document.activeElement?.id === "main"));
    return stage;
  }

  /** A signed-in page that the tests of a file share, brought back to the overview of a busy fleet. */
  async shared(): Promise<Stage> {
    this.#shared ??= await this.signedIn();
    const { edge, page, misdeeds } = this.#shared;
    edge.reset(busyFleet(Date.now));
    await jumpUntil(page, () => edge.followers > 0);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    await page.setViewportSize({ width: 1280, height: 900 });
    // Leaving the view closes its dialogs.
    await page.evaluate(() => (location.hash = "#playground"));
    await page.getByRole("heading", { level: 1, name: "Playground" }).waitFor();
    await page.evaluate(() => (location.hash = "#overview"));
    await page.getByRole("heading", { level: 1, name: /^All five servers are up$/ }).waitFor();
    await page.evaluate(() => void ((globalThis as Announcing).announcements = []));
    misdeeds.length = 0;
    return this.#shared;
  }
}

/** Lets the page's time pass until the condition comes. */
export function jumpUntil(page: Page, check: () => boolean | Promise<boolean>): Promise<true> {
  return until(async () => {
    if (await check()) return true;
    await page.clock.fastForward(JUMP_MS);
    return false;
  }, String(check));
}

/** Stops the page's time: no timer fires and no frame is drawn until `page.clock.resume()`. */
export async function stopTime(page: Page): Promise<void> {
  // It stops at a moment to come, which a frozen machine may miss.
  await until(async () => {
    await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 2 * JUMP_MS);
    return true;
  });
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("Admin key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Waits until a live region of the page has had this text. Some leave the screen after a few seconds. */
export async function announced(page: Page, text: string): Promise<void> {
  await until(
    () => page.evaluate((text) => (globalThis as Announcing).announcements?.includes(text), text),
    `the page announces ${text}`,
  );
}

interface Announcing {
  announcements?: string[];
}

/** Runs in the page, before anything of its own. */
function prepare(): void {
  // No request is given up because the machine is slow.
  AbortSignal.timeout = () => new AbortController().signal;
  const page = globalThis as Announcing;
  const look = (): void => {
    page.announcements ??= [];
    for (const region of document.querySelectorAll('[role="status"]')) {
      const text = region.textContent ?? "";
      if (text !== "" && !page.announcements.includes(text)) page.announcements.push(text);
    }
  };
  new MutationObserver(look).observe(document, { childList: true, characterData: true, subtree: true });
}

function watch(page: Page, url: string): string[] {
  const misdeeds: string[] = [];
  page.on("console", (message) => {
    // Chrome writes a line of its own for every refusal; those are the test's doing.
    const refused = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !refused) misdeeds.push(message.text());
  });
  page.on("pageerror", (error) => misdeeds.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith("data:"))
      misdeeds.push(request.url());
  });
  return misdeeds;
}

/** All that outlives the page's memory: stores, cookies, addresses. */
export async function leftBehind(page: Page): Promise<string> {
  const kept = await page.evaluate(async () => ({
    local: JSON.stringify(localStorage),
    session: JSON.stringify(sessionStorage),
    databases: (await indexedDB.databases()).map(({ name }) => name),
    caches: await caches.keys(),
    cookie: document.cookie,
    address: location.href,
    history: JSON.stringify(history.state),
    named: window.name,
  }));
  return JSON.stringify([kept, await page.context().cookies()]);
}
