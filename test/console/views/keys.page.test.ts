// Keys in a real browser: secrets shown once, confirmations, and what is stored nowhere.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY } from "../support/fake-edge.ts";
import { announced, BROWSER, openView, persistedState, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

describe.skipIf(BROWSER === null)("keys", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("a new key's secret is shown once, copied, and removed from the page when the dialog closes", async () => {
    const { page, edge, violations } = await openView(await browser.shared(), "Keys");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("Enter a name").waitFor();
    await page.getByRole("textbox", { name: "Name" }).fill("A partner");
    await page.getByLabel("all, including future ones").uncheck();
    await page.getByRole("checkbox", { name: "Claims" }).check();
    await page.getByLabel("Tokens per month").fill("250,000");
    await page.getByRole("button", { name: "Make the key" }).click();
    const secret = await page.locator(".secret-text").innerText();
    expect(secret).toMatch(/^isha_new0000005_/);
    await page.keyboard.press("Escape");
    await page.getByText("You haven't copied it").waitFor();
    await page.getByRole("button", { name: "Copy the key" }).click();
    await page.getByText("Copied", { exact: true }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("row", { name: /A partner/ }).waitFor();
    expect(await page.content()).not.toContain(secret.slice(-20));
    expect(await persistedState(page)).not.toContain(secret.slice(-20));
    expect(edge.keys.find("new0000005")).toMatchObject({
      agents: ["Claims"],
      limits: { tokensPerMonth: 250_000 },
    });
    expect(violations).toEqual([]);
  });

  it("a key is changed, rotated, and revoked only after its name was typed", async () => {
    const { page, edge, violations } = await openView(await browser.shared(), "Keys");
    await page.getByRole("button", { name: "Change Claims partner" }).click();
    await page.getByLabel("Concurrent calls").fill("7");
    await page.getByRole("button", { name: "Save" }).click();
    await announced(page, "“Claims partner” was changed.");
    expect(edge.keys.find("Zk81hHa0Lw").limits).toMatchObject({ concurrent: 7, tokensPerMonth: 1_000_000 });
    await page.getByRole("button", { name: "Rotate Claims partner" }).click();
    await page.getByLabel("The current secret stays valid for").selectOption("an hour");
    await page.getByRole("button", { name: "Make the new secret" }).click();
    await page.getByRole("button", { name: "Copy the key" }).click();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("button", { name: "Revoke Claims partner" }).click();
    const revoke = page.getByRole("button", { name: "Revoke it" });
    expect(await revoke.isDisabled()).toBe(true);
    await page.getByLabel("Type its name to continue").fill("Claims partner");
    await revoke.click();
    await announced(page, "“Claims partner” was revoked.");
    expect(edge.keys.find("Zk81hHa0Lw").state).toBe("revoked");
    await page.getByRole("row", { name: /Claims partner/ }).waitFor({ state: "detached" });
    expect(violations).toEqual([]);
  });

  it("revoking the key of the session shows a warning, and signs the operator out", async () => {
    const { page, edge } = await openView(await browser.signedIn(), "Keys");
    await page.getByRole("button", { name: "Revoke Operators" }).click();
    await page.getByText("This is the key you signed in with").waitFor();
    await page.getByLabel("Type its name to continue").fill("Operators");
    edge.revokeKeyAfter(ADMIN_KEY, "DELETE");
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByRole("alert").getByText("You were signed out").waitFor();
  });
});
