// Signing in, in a real browser: accepted and refused keys, and that nothing is stored.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, INFER_KEY } from "../support/fake-edge.ts";
import { fakeKey } from "../support/fake-keys.ts";
import { until } from "../../support/until.ts";
import { BROWSER, advanceUntil, persistedState, signIn, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

describe.skipIf(BROWSER === null)("signing in", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("with an admin key shows the fleet; signing out removes it", async () => {
    const { page, violations } = await browser.signedIn();
    await page.getByRole("heading", { level: 1, name: "All five servers are up" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin key").waitFor();
    expect(await page.getByLabel("Admin key").inputValue()).toBe("");
    expect(await page.locator("body").innerText()).not.toContain("box1");
    expect(violations).toEqual([]);
  });

  it.each([
    ["that is unknown", fakeKey("unknownKey"), "The edge doesn't know this key"],
    ["that may only call models", INFER_KEY, "it lacks the scope “admin”"],
    ["that is not a key", "not a key", "This is not a key"],
  ])("with a key %s is refused with an explanation", async (_title, key, text) => {
    const { page, violations } = await browser.signedOut();
    await signIn(page, key);
    await page.getByRole("alert").getByText(text).waitFor();
    const field = page.getByLabel("Admin key");
    await until(() => field.evaluate((element) => element === document.activeElement));
    expect(violations).toEqual([]);
  });

  it("without an edge reports that the edge can't be reached", async () => {
    const { page, edge } = await browser.signedOut();
    edge.setOffline(true);
    await signIn(page, ADMIN_KEY);
    await page.getByRole("alert").getByText("The edge can't be reached").waitFor();
  });

  it("stores the key in no storage, cookie, address or title, and a reload discards it", async () => {
    const { page, violations } = await browser.signedIn();
    for (const name of ["Keys", "Usage", "Playground"]) {
      await page.getByRole("link", { name, exact: true }).click();
      await page.getByRole("heading", { level: 1, name }).waitFor();
    }
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await page.locator("canvas").first().waitFor();
    const secret = ADMIN_KEY.slice(-20);
    expect(await persistedState(page)).not.toContain(secret);
    expect(await page.title()).not.toContain(secret);
    expect(await page.content()).not.toContain(secret);
    await page.reload();
    await page.getByLabel("Admin key").waitFor();
    expect(violations).toEqual([]);
  });

  it("with the choice to stay keeps the key in this tab's sessionStorage through a reload, until the sign-out", async () => {
    const { page, violations } = await browser.signedOut();
    await page.getByLabel("Stay signed in after a reload").check();
    await page.getByText("It is stored in this tab's sessionStorage until you sign out").waitFor();
    await signIn(page, ADMIN_KEY);
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Keys" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin key").waitFor();
    expect(await persistedState(page)).not.toContain(ADMIN_KEY.slice(-20));
    await page.reload();
    await page.getByLabel("Admin key").waitFor();
    expect(violations).toEqual([]);
  });

  it("with a stored key that was revoked meanwhile shows the form with an explanation, and deletes the key", async () => {
    const { page, edge } = await browser.signedOut();
    await page.getByLabel("Stay signed in after a reload").check();
    await signIn(page, ADMIN_KEY);
    await page.getByRole("navigation").waitFor();
    edge.revokeKey(ADMIN_KEY);
    await page.reload();
    await page.getByRole("alert").getByText("The edge doesn't know this key").waitFor();
    expect(await persistedState(page)).not.toContain(ADMIN_KEY.slice(-20));
  });

  it("opens the view of the link", async () => {
    const { page, url } = await browser.signedOut();
    await page.goto(`${url}/console#usage`);
    await signIn(page, ADMIN_KEY);
    await page.getByRole("heading", { level: 1, name: "Usage" }).waitFor();
  });

  it("ends by itself when the key is no longer valid, with an explanation", async () => {
    const { page, edge } = await browser.signedIn();
    edge.revokeKey(ADMIN_KEY);
    edge.endStreams();
    await advanceUntil(page, () => page.getByRole("alert").getByText("You were signed out").isVisible());
  });
});
