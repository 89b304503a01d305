// The usage view in a real browser: the chart, its filters and links, downloads, and figures that are absent or absurd.
import { text } from "node:stream/consumers";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../support/until.ts";
import { BROWSER, openView, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

const legend = (page: Page): Promise<string[]> => page.locator(".legend-entry").allInnerTexts();
const total = (page: Page): Promise<string> => page.locator(".usage-total").innerText();

describe.skipIf(BROWSER === null)("usage", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("is shown by model, agent type and key; each choice is in the address, and a link opens it", async () => {
    const { page, edge, violations } = await openView(await browser.shared(), "Usage");
    for (const [by, row] of [
      ["Agent type", "Clinical"],
      ["Key", "Mediczy production"],
      ["Model", "BiMediX2-8B"],
    ] as const) {
      await page.getByRole("radio", { name: by, exact: true }).check();
      await page.getByRole("row", { name: new RegExp(row) }).waitFor();
      await page
        .getByRole("button", { name: new RegExp(`^${row}`) })
        .first()
        .waitFor();
    }
    await page.getByRole("radio", { name: "Calls" }).check();
    await page.getByLabel("Time range").selectOption("the last 7 days");
    await page.getByRole("radio", { name: "Hour" }).check();
    await page.getByRole("heading", { name: "Calls by hour" }).waitFor();
    expect(new URL(page.url()).hash).toBe("#usage?by=model&measure=calls&range=week&step=hour");
    await page.evaluate(() => (location.hash = "#usage?by=key&key=Qm2xPq8sT1&range=today"));
    await page.getByRole("heading", { name: "Tokens by hour" }).waitFor();
    await until(() => edge.usage.queries.some((query) => /^by=hour&split=key&.*key=Qm2xPq8sT1$/.test(query)));
    expect(await page.getByLabel("Show").inputValue()).toBe("Qm2xPq8sT1");
    expect(violations).toEqual([]);
  });

  it("the legend shows the column at the pointer, and a click shows one series alone", async () => {
    const { page } = await openView(await browser.shared(), "Usage");
    await page.locator(".usage-plot canvas").waitFor();
    const whole = await total(page);
    expect(await legend(page)).toHaveLength(3);
    await page.locator(".usage-plot .u-over").hover();
    await until(async () => / \d+ \w+|^\d+ \w+/.test(await total(page)) && (await total(page)) !== whole);
    await page.getByRole("heading", { level: 1 }).hover();
    await until(async () => (await total(page)) === whole);
    const entry = page.getByRole("button", { name: /^OpenInsurance-8B/ });
    await entry.click();
    expect(await entry.getAttribute("aria-pressed")).toBe("true");
    expect(await total(page)).toContain(await entry.locator(".legend-value").innerText());
    await entry.click();
    expect(await total(page)).toBe(whole);
  });

  it("a key in the table filters to that key", async () => {
    const { page, edge } = await openView(await browser.shared(), "Usage");
    await page.getByRole("radio", { name: "Key", exact: true }).check();
    await page
      .getByRole("row", { name: /Claims partner/ })
      .getByRole("button")
      .click();
    await until(() => edge.usage.queries.some((query) => /^by=key&.*key=Zk81hHa0Lw$/.test(query)));
    expect(new URL(page.url()).hash).toBe("#usage?by=key&key=Zk81hHa0Lw");
  });

  it("the CSV has the same query as the table, or as the chart", async () => {
    const { page, edge, violations } = await openView(await browser.shared(), "Usage");
    for (const [button, first] of [
      ["Download CSV", "model,calls,"],
      ["CSV by day", "day,model,calls,"],
    ] as const) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: button }).click(),
      ]);
      expect(download.suggestedFilename()).toBe("usage-a-b.csv");
      expect(await text(await download.createReadStream())).toMatch(new RegExp(`^${first}`));
      const query = edge.usage.queries.at(-1)?.replace("&format=csv", "");
      expect(edge.usage.queries.filter((other) => other === query)).not.toEqual([]);
    }
    expect(violations).toEqual([]);
  });

  it("200 keys with markup in their names, and absurd figures, stay readable", async () => {
    const testPage = await browser.signedIn();
    const { page, edge, violations } = testPage;
    edge.keys.addMany(220);
    edge.usage.names.key = edge.keys.keys.map(({ id }) => id);
    edge.usage.scale = 100_000_000;
    await openView(testPage, "Usage");
    await page.getByRole("radio", { name: "Key", exact: true }).check();
    await page.getByRole("row", { name: /<img src=x onerror=alert\(1\)> 0/ }).waitFor();
    expect(await legend(page)).toHaveLength(9);
    expect((await legend(page)).at(-1)).toContain("all others");
    await page.getByRole("button", { name: "Show all 225" }).click();
    // The name of the last key is on the second page of keys.
    await page.getByRole("row", { name: /^=1\+1 219/ }).waitFor();
    expect(await page.getByRole("row").count()).toBe(225 + 2);
    await page.setViewportSize({ width: 390, height: 844 });
    await until(() =>
      page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth),
    );
    expect(violations).toEqual([]);
  });

  it("a deployment without calls says so, and draws no chart", async () => {
    const testPage = await browser.signedIn();
    testPage.edge.usage.scale = 0;
    const { page } = await openView(testPage, "Usage");
    await page.getByText("No calls in this time.").waitFor();
    expect(await page.locator(".usage-plot, table").count()).toBe(0);
  });

  it("a failure shows no figures of another choice, keeps those of the same one, and can be retried", async () => {
    const testPage = await openView(await browser.signedIn(), "Usage");
    const { page, edge } = testPage;
    await page.getByRole("row", { name: /^Total/ }).waitFor();
    edge.usage.fails = true;
    await page.getByRole("radio", { name: "Agent type" }).check();
    await page.getByText("The ledger doesn't answer.").waitFor();
    expect(await page.locator(".usage-plot, table").count()).toBe(0);
    edge.usage.fails = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("row", { name: /Clinical/ }).waitFor();
    edge.usage.fails = true;
    await page.clock.fastForward(61_000);
    await page.getByText("What you see is from the last answer.").waitFor();
    await page.getByRole("row", { name: /Clinical/ }).waitFor();
  });
});
