// Accessibility of every view: axe-core's rules in light and dark, a phone's width, keyboard use, reduced motion.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { absurdFleet, drainedFleet, newFleet, tenBoxes, troubledFleet } from "./support/scenes.ts";
import { BROWSER, advanceUntil, signIn, TestBrowser, type TestPage } from "./support/test-page.ts";

const browser = new TestBrowser();
const PHONE_WIDTH = 390;

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

let axe = "";

/**
 * The findings that axe-core rates serious or critical.
 * @param options of `axe.run`; by default every rule is checked
 */
async function findings(page: Page, options = {}): Promise<string[]> {
  // The page's policy blocks a script element, but not this call.
  if (await page.evaluate(() => !("axe" in globalThis))) await page.evaluate(axe);
  const found = await page.evaluate<Finding[]>(
    `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) => violations)`,
  );
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`,
    );
}

/** The rules that depend on the colour scheme, which changes only colours. */
const COLOUR_RULES = { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] } };

/** Waits until the page is no wider than its window: charts adapt to the width a frame later. */
const fitsInWidth = (page: Page): Promise<true> =>
  until(() =>
    page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth),
  );

/** Every kind of screen, and how a test opens it. */
const VIEWS: Readonly<Record<string, (testPage: TestPage) => Promise<void>>> = {
  overview: async ({ page }) => page.locator("canvas").first().waitFor(),
  trouble: async ({ page, edge }) => {
    edge.fleet = troubledFleet(Date.now);
    edge.publish();
    await page.getByRole("region", { name: "Alarms" }).waitFor();
  },
  "ten boxes": async ({ page, edge }) => {
    edge.fleet = tenBoxes(Date.now);
    edge.publish();
    await page.getByText("box7").first().waitFor();
  },
  drained: async ({ page, edge }) => {
    edge.fleet = drainedFleet(Date.now);
    edge.publish();
    await page.getByRole("heading", { level: 1, name: "Nothing is served: box1 is drained" }).waitFor();
  },
  "absurd figures": async ({ page, edge }) => {
    edge.fleet = absurdFleet(Date.now);
    edge.publish();
    await page.getByText("<img src=x").first().waitFor();
  },
  "filtered failures": async ({ page }) => {
    await page.getByRole("button", { name: /^120 × invalid_request/ }).click();
    await page.getByRole("heading", { name: "One by one" }).waitFor();
  },
  "a failure": async ({ page }) => {
    await page.getByRole("link", { name: /upstream_failed/ }).click();
    await page.getByRole("dialog").getByText("The llama-server broke the connection").waitFor();
  },
  "never reported": async ({ page, edge }) => {
    edge.fleet = newFleet(Date.now);
    edge.publish();
    await page.getByText("never reported").waitFor();
  },
  stale: async ({ page, edge }) => {
    edge.setOffline(true);
    await advanceUntil(page, () =>
      page
        .getByText(/^No update from the edge/)
        .first()
        .isVisible(),
    );
  },
  "a confirmation": async ({ page }) => {
    await page.getByRole("button", { name: "Drain" }).click();
    await page.getByRole("dialog").waitFor();
  },
  keys: async ({ page }) => {
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("radio", { name: "All" }).check();
    await page.getByRole("row", { name: /Old pilot/ }).waitFor();
  },
  "a new key": async ({ page }) => {
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("all, including future ones").uncheck();
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("Enter a name").waitFor();
  },
  usage: async ({ page }) => {
    await page.getByRole("link", { name: "Usage", exact: true }).click();
    await page.getByRole("row", { name: /^Total/ }).waitFor();
    await page.locator(".usage-plot canvas").waitFor();
  },
  audit: async ({ page }) => {
    await page.getByRole("link", { name: "Audit", exact: true }).click();
    await page
      .getByRole("row", { name: /gave a new secret/ })
      .first()
      .waitFor();
  },
  playground: async ({ page }) => {
    await page.getByRole("link", { name: "Playground", exact: true }).click();
    await page.getByLabel("Prompt", { exact: true }).fill("fall back");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("complete", { exact: true }).waitFor();
  },
};

describe.skipIf(BROWSER === null)("every view", () => {
  beforeAll(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await browser.open();
  });
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it.each(Object.entries(VIEWS))(
    "%s: no serious finding in light, dark and on a phone, and no horizontal scrolling there",
    async (view, open) => {
      const testPage = await browser.shared();
      const { page, violations } = testPage;
      // A colour transition would be judged halfway.
      await page.emulateMedia({ reducedMotion: "reduce" });
      await open(testPage);
      expect(await findings(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: "dark" });
      expect(await findings(page, COLOUR_RULES)).toEqual([]);
      await page.setViewportSize({ width: PHONE_WIDTH, height: 844 });
      await fitsInWidth(page);
      expect(await findings(page)).toEqual([]);
      // Chrome logs errors of its own if the edge is offline.
      if (view !== "stale") expect(violations).toEqual([]);
    },
  );

  it.each(["light", "dark"] as const)("the sign-in form, %s, also after a refusal", async (colorScheme) => {
    const { page, violations } = await browser.signedOut({ colorScheme, width: PHONE_WIDTH });
    expect(await findings(page)).toEqual([]);
    await signIn(page, "not a key");
    await page.getByText("This is not a key").waitFor();
    expect(await findings(page)).toEqual([]);
    await fitsInWidth(page);
    expect(violations).toEqual([]);
  });

  it("can be reached by keyboard: the skip link first, then the views, each with a visible focus", async () => {
    const { page } = await browser.shared();
    // The same state as after loading the page.
    await page.evaluate(() => {
      document.body.tabIndex = -1;
      document.body.focus();
    });
    const focused = (): Promise<{ text: string; outline: string }> =>
      page.evaluate(() => {
        const element = document.activeElement ?? document.body;
        return { text: element.textContent ?? "", outline: getComputedStyle(element).outlineStyle };
      });
    await page.keyboard.press("Tab");
    expect(await focused()).toEqual({ text: "Skip to the content", outline: "solid" });
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    await page.getByRole("link", { name: "Overview", exact: true }).focus();
    for (const name of ["Playground", "Keys"]) {
      await page.keyboard.press("Tab");
      expect(await focused()).toEqual({ text: name, outline: "solid" });
    }
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Keys" }).waitFor();
  });

  it("follows the system's colour scheme until the operator changes it, and stores nothing", async () => {
    const { page } = await browser.signedIn({ colorScheme: "dark" });
    const background = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await background();
    await page.getByRole("button", { name: "Use light colours" }).click();
    await until(async () => (await background()) !== dark);
    expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
    await page.reload();
    expect(await background()).toBe(dark);
  });

  it("has no transitions if the system asks for reduced motion", async () => {
    const { page } = await browser.shared();
    const transition = (): Promise<string> =>
      page
        .locator(".memory-segment")
        .first()
        .evaluate((segment) => getComputedStyle(segment).transitionDuration);
    expect(await transition()).toBe("0.4s");
    await page.emulateMedia({ reducedMotion: "reduce" });
    expect(await transition()).toBe("0s");
  });
});
