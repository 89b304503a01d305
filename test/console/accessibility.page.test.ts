// The accessibility of every view: axe-core's rules in light and dark, a phone's width, a keyboard alone, less motion.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../support/until.ts";
import { newFleet, tenBoxes, troubledFleet } from "./support/scenes.ts";
import { BROWSER, jumpUntil, signIn, Theatre, type Stage } from "./support/stage.ts";

const theatre = new Theatre();
const PHONE_WIDTH = 390;

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

let axe = "";

/**
 * Findings that axe-core calls serious or critical.
 * @param options of `axe.run`; by default every rule is checked
 */
async function findings(page: Page, options = {}): Promise<string[]> {
  // The page's policy would keep out a script element of the test; it doesn't apply to this way in.
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

/** The rules that another colour scheme can break: on one page, it changes colours and nothing else. */
const COLOUR_RULES = { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block"] } };

/** Waits until the page is no wider than its window; the charts follow the window's width a frame later. */
const fitsInWidth = (page: Page): Promise<true> =>
  until(() =>
    page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth),
  );

/** Each thing an operator may have on the screen. */
const VIEWS: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  overview: async ({ page }) => page.locator("canvas").first().waitFor(),
  trouble: async ({ page, edge }) => {
    edge.fleet = troubledFleet(Date.now);
    edge.tell();
    await page.getByRole("region", { name: "Alarms" }).waitFor();
  },
  "ten boxes": async ({ page, edge }) => {
    edge.fleet = tenBoxes(Date.now);
    edge.tell();
    await page.getByText("box7").first().waitFor();
  },
  "never heard": async ({ page, edge }) => {
    edge.fleet = newFleet(Date.now);
    edge.tell();
    await page.getByText("never heard").waitFor();
  },
  stale: async ({ page, edge }) => {
    edge.away(true);
    await jumpUntil(page, () =>
      page
        .getByText(/^No word from the edge/)
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
    await page.getByLabel("all, also those to come").uncheck();
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("Give it a name").waitFor();
  },
  usage: async ({ page }) => {
    await page.getByRole("link", { name: "Usage", exact: true }).click();
    await page.getByRole("row", { name: /All together/ }).waitFor();
  },
  playground: async ({ page }) => {
    await page.getByRole("link", { name: "Playground", exact: true }).click();
    await page.getByLabel("Prompt").fill("fall back");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("whole", { exact: true }).waitFor();
  },
};

describe.skipIf(BROWSER === null)("every view", () => {
  beforeAll(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await theatre.open();
  });
  afterEach(({ task }) => theatre.clear(task.result?.state === "fail"));
  afterAll(() => theatre.close());

  it.each(Object.entries(VIEWS))(
    "%s: no serious finding in light, dark and on a phone, and no sideways scroll there",
    async (view, open) => {
      const stage = await theatre.shared();
      const { page, misdeeds } = stage;
      // A colour that is still changing would be judged as it is at that moment.
      await page.emulateMedia({ reducedMotion: "reduce" });
      await open(stage);
      expect(await findings(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: "dark" });
      expect(await findings(page, COLOUR_RULES)).toEqual([]);
      await page.setViewportSize({ width: PHONE_WIDTH, height: 844 });
      await fitsInWidth(page);
      expect(await findings(page)).toEqual([]);
      // Without an edge Chrome reports lines of its own.
      if (view !== "stale") expect(misdeeds).toEqual([]);
    },
  );

  it.each(["light", "dark"] as const)("signing in, %s, also when it is refused", async (colorScheme) => {
    const { page, misdeeds } = await theatre.stage({ colorScheme, width: PHONE_WIDTH });
    expect(await findings(page)).toEqual([]);
    await signIn(page, "not a key");
    await page.getByText("This is no key").waitFor();
    expect(await findings(page)).toEqual([]);
    await fitsInWidth(page);
    expect(misdeeds).toEqual([]);
  });

  it("is reached by keyboard alone: the skip link first, then the views, each with a visible focus", async () => {
    const { page } = await theatre.shared();
    // As after the page has loaded.
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

  it("takes the system's colours until the operator says otherwise, and keeps that nowhere", async () => {
    const { page } = await theatre.signedIn({ colorScheme: "dark" });
    const ground = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await ground();
    await page.getByRole("button", { name: "Use light colours" }).click();
    await until(async () => (await ground()) !== dark);
    expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
    await page.reload();
    expect(await ground()).toBe(dark);
  });

  it("moves nothing if the system asks for less motion", async () => {
    const { page } = await theatre.shared();
    const seconds = (): Promise<string> =>
      page
        .locator(".memory-segment")
        .first()
        .evaluate((segment) => getComputedStyle(segment).transitionDuration);
    expect(await seconds()).toBe("0.4s");
    await page.emulateMedia({ reducedMotion: "reduce" });
    expect(await seconds()).toBe("0s");
  });
});
