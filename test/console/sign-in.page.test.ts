// Signing in, in a real browser: which keys are taken, what the others are answered, and that nothing stays behind.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, INFER_KEY } from "./support/fake-edge.ts";
import { madeKey } from "./support/fake-keys.ts";
import { until } from "../support/until.ts";
import { BROWSER, jumpUntil, leftBehind, signIn, Theatre } from "./support/stage.ts";

const theatre = new Theatre();

describe.skipIf(BROWSER === null)("signing in", () => {
  beforeAll(() => theatre.open());
  afterEach(({ task }) => theatre.clear(task.result?.state === "fail"));
  afterAll(() => theatre.close());

  it("with an admin key shows the fleet; signing out takes it away", async () => {
    const { page, misdeeds } = await theatre.signedIn();
    await page.getByRole("heading", { level: 1, name: "All five servers are up" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin key").waitFor();
    expect(await page.getByLabel("Admin key").inputValue()).toBe("");
    expect(await page.locator("body").innerText()).not.toContain("box1");
    expect(misdeeds).toEqual([]);
  });

  it.each([
    ["that is unknown", madeKey("unknownKey"), "The edge doesn't know this key"],
    ["that may only ask models", INFER_KEY, "it lacks the scope “admin”"],
    ["that is no key at all", "not a key", "This is no key"],
  ])("with a key %s is refused in words", async (_what, key, words) => {
    const { page, misdeeds } = await theatre.stage();
    await signIn(page, key);
    await page.getByRole("alert").getByText(words).waitFor();
    const field = page.getByLabel("Admin key");
    await until(() => field.evaluate((element) => element === document.activeElement));
    expect(misdeeds).toEqual([]);
  });

  it("with no edge there says that the edge can't be reached", async () => {
    const { page, edge } = await theatre.stage();
    edge.away(true);
    await signIn(page, ADMIN_KEY);
    await page.getByRole("alert").getByText("The edge can't be reached").waitFor();
  });

  it("leaves the key in no store, cookie, address or title, and a reload forgets it", async () => {
    const { page, misdeeds } = await theatre.signedIn();
    for (const name of ["Keys", "Usage", "Playground"]) {
      await page.getByRole("link", { name, exact: true }).click();
      await page.getByRole("heading", { level: 1, name }).waitFor();
    }
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await page.locator("canvas").first().waitFor();
    const secret = ADMIN_KEY.slice(-20);
    expect(await leftBehind(page)).not.toContain(secret);
    expect(await page.title()).not.toContain(secret);
    expect(await page.content()).not.toContain(secret);
    await page.reload();
    await page.getByLabel("Admin key").waitFor();
    expect(misdeeds).toEqual([]);
  });

  it("ends by itself once the key is no longer good, and says so", async () => {
    const { page, edge } = await theatre.signedIn();
    edge.forget(ADMIN_KEY);
    edge.endStreams();
    await jumpUntil(page, () => page.getByRole("alert").getByText("You were signed out").isVisible());
  });
});
