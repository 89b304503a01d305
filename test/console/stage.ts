// A signed-in page on a living fleet, and a watch on all that a page of ours must never do.
import type { Browser, Page } from "playwright-core";
import { buildConsole } from "../../scripts/build-console.mjs";
import { findChromium, launch } from "./chromium.ts";
import { ADMIN_KEY, FakeEdge } from "./fake-edge.ts";
import type { FakeFleet } from "./fake-fleet.ts";
import { busyFleet } from "./scenes.ts";

/** Null where there is no browser; the tests that need one are then skipped. */
export const CHROMIUM = await findChromium();

/** How long a condition may take to come, milliseconds: a wait, not a measure. */
export const WITHIN_MS = 10_000;

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
  #closing: (() => Promise<void>)[] = [];

  async open(): Promise<void> {
    await buildConsole();
    this.#browser = await launch(CHROMIUM ?? "");
  }

  /** Ends what the last test left. */
  async clear(): Promise<void> {
    const closing = this.#closing;
    this.#closing = [];
    for (const close of closing) await close();
  }

  async close(): Promise<void> {
    await this.clear();
    await this.#browser?.close();
  }

  /** The page before anybody signed in. */
  async stage({ scene = busyFleet, colorScheme = "light", width = 1280 }: StageOptions = {}): Promise<Stage> {
    const edge = new FakeEdge(scene(Date.now));
    const url = await edge.start();
    const context = await this.#browser?.newContext({ colorScheme, viewport: { width, height: 900 } });
    if (context === undefined) throw new Error("no browser");
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    const page = await context.newPage();
    page.setDefaultTimeout(WITHIN_MS);
    const misdeeds = watch(page, url);
    this.#closing.push(async () => {
      await context.close();
      await edge.stop();
    });
    await page.goto(`${url}/console`);
    return { edge, page, url, misdeeds };
  }

  async signedIn(options: StageOptions = {}): Promise<Stage> {
    const stage = await this.stage(options);
    await signIn(stage.page, ADMIN_KEY);
    await stage.page.getByRole("heading", { level: 1 }).waitFor();
    await stage.page.getByRole("navigation").waitFor();
    return stage;
  }
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("Admin key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
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
