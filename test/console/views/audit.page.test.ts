// The audit view in a real browser: sentences, the filter and its link, paging, failures.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../support/until.ts";
import { BROWSER, openView, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

describe.skipIf(BROWSER === null)("the audit", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("shows who did what, in plain words and with names as they are, page by page", async () => {
    const { page, violations } = await openView(await browser.shared(), "Audit");
    const rows = page.locator(".audit tbody tr");
    await until(async () => (await rows.count()) === 50);
    const first = await rows.first().innerText();
    expect(first).toContain("Operators");
    expect(first).toContain("changed the key Mediczy production");
    expect(first).toContain("tokens per month: 1,000,000 → no limit");
    await page.getByText("name: <b>Claims</b> partner").first().waitFor();
    for (const count of [100, 120]) {
      await page.getByRole("button", { name: "Show older" }).click();
      await until(async () => (await rows.count()) === count);
    }
    expect(await page.getByRole("button", { name: "Show older" }).count()).toBe(0);
    expect(violations).toEqual([]);
  });

  it("is filtered by key, box or server; the filter is in the address, and a link opens it", async () => {
    const { page, violations } = await openView(await browser.shared(), "Audit");
    const filter = page.getByLabel("Done to");
    const rows = page.locator(".audit tbody tr");
    await page.getByRole("button", { name: "8085 of box1" }).first().click();
    await until(async () => (await filter.inputValue()) === "box1:8085");
    await until(async () => (await rows.count()) === 14);
    expect(new URL(page.url()).hash).toBe("#audit?target=box1%3A8085");
    await page.evaluate(() => (location.hash = "#audit?target=Old0Old0Old"));
    await until(async () =>
      (await rows.allInnerTexts()).every((row) => row.includes("revoked the key Old pilot")),
    );
    await page.evaluate(() => (location.hash = "#audit?target=a.box.that.is.gone"));
    await page.getByText("Nothing was done to it.").waitFor();
    expect(await filter.inputValue()).toBe("a.box.that.is.gone");
    await filter.selectOption("everything");
    await until(async () => (await rows.count()) === 50);
    await page.evaluate(() => (location.hash = "#audit?target=%3Cimg%3E"));
    await until(async () => (await filter.inputValue()) === "");
    expect(violations).toEqual([]);
  });

  it("an empty audit says so; a failure keeps what is shown and can be retried", async () => {
    const testPage = await browser.signedIn();
    const { page, edge } = testPage;
    edge.audit.fails = true;
    await openView(testPage, "Audit");
    await page.getByText("The registry doesn't answer.").waitFor();
    edge.audit.fails = false;
    await page.getByRole("button", { name: "Try again" }).click();
    const rows = page.locator(".audit tbody tr");
    await until(async () => (await rows.count()) === 50);
    edge.audit.fails = true;
    await page.getByRole("button", { name: "Show older" }).click();
    await page.getByText("What you see is from the last answer.").waitFor();
    expect(await rows.count()).toBe(50);
    edge.audit.fails = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await until(async () => (await rows.count()) === 100);
    edge.audit.entries = [];
    await page.getByLabel("Done to").selectOption("box1");
    await page.getByLabel("Done to").selectOption("everything");
    await page.getByText("No operator has done anything yet.").waitFor();
  });
});
