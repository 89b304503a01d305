// Keys and the playground in a real browser: what is shown once, what is asked twice, and what is kept nowhere.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PROMPTS } from "./support/fake-chat.ts";
import { ADMIN_KEY, ADMIN_ONLY_KEY } from "./support/fake-edge.ts";
import { announced, BROWSER, leftBehind, signIn, Theatre, type Stage } from "./support/stage.ts";

const theatre = new Theatre();

/** @param stage by default the shared one */
async function at(view: "Keys" | "Usage" | "Playground", stage?: Stage): Promise<Stage> {
  stage ??= await theatre.shared();
  await stage.page.getByRole("link", { name: view, exact: true }).click();
  await stage.page.getByRole("heading", { level: 1, name: view }).waitFor();
  return stage;
}

describe.skipIf(BROWSER === null)("in the browser", () => {
  beforeAll(() => theatre.open());
  afterEach(({ task }) => theatre.clear(task.result?.state === "fail"));
  afterAll(() => theatre.close());

  it("a new key's secret is shown once, copied, and gone from the page when it is closed", async () => {
    const { page, edge, misdeeds } = await at("Keys");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("Give it a name").waitFor();
    await page.getByRole("textbox", { name: "Name" }).fill("A partner");
    await page.getByLabel("all, also those to come").uncheck();
    await page.getByRole("checkbox", { name: "Claims" }).check();
    await page.getByLabel("Tokens a month").fill("250,000");
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
    expect(await leftBehind(page)).not.toContain(secret.slice(-20));
    expect(edge.keys.find("new0000005")).toMatchObject({
      agents: ["Claims"],
      limits: { tokensPerMonth: 250_000 },
    });
    expect(misdeeds).toEqual([]);
  });

  it("a key is changed, rotated, and revoked only once its name was typed", async () => {
    const { page, edge, misdeeds } = await at("Keys");
    await page.getByRole("button", { name: "Change Claims partner" }).click();
    await page.getByLabel("Calls at once").fill("7");
    await page.getByRole("button", { name: "Save" }).click();
    await announced(page, "“Claims partner” was changed.");
    expect(edge.keys.find("Zk81hHa0Lw").limits).toMatchObject({ concurrent: 7, tokensPerMonth: 1_000_000 });
    await page.getByRole("button", { name: "Rotate Claims partner" }).click();
    await page.getByLabel("The present secret goes on for").selectOption("an hour");
    await page.getByRole("button", { name: "Make the new secret" }).click();
    await page.getByRole("button", { name: "Copy the key" }).click();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("button", { name: "Revoke Claims partner" }).click();
    const revoke = page.getByRole("button", { name: "Revoke it" });
    expect(await revoke.isDisabled()).toBe(true);
    await page.getByLabel("Type its name to go on").fill("Claims partner");
    await revoke.click();
    await announced(page, "“Claims partner” was revoked.");
    expect(edge.keys.find("Zk81hHa0Lw").state).toBe("revoked");
    await page.getByRole("row", { name: /Claims partner/ }).waitFor({ state: "detached" });
    expect(misdeeds).toEqual([]);
  });

  it("revoking the key one signed in with is warned of, and signs one out", async () => {
    const { page, edge } = await at("Keys", await theatre.signedIn());
    await page.getByRole("button", { name: "Revoke Operators" }).click();
    await page.getByText("This is the key you signed in with").waitFor();
    await page.getByLabel("Type its name to go on").fill("Operators");
    edge.forgetAfter(ADMIN_KEY, "DELETE");
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByRole("alert").getByText("You were signed out").waitFor();
  });

  it("usage is told by key, model, agent type and day", async () => {
    const { page, misdeeds } = await at("Usage");
    await page.getByRole("row", { name: /Mediczy production/ }).waitFor();
    for (const [by, row] of [
      ["Model", "BiMediX2-8B"],
      ["Agent type", "Clinical"],
      ["Day", "2026-11-21"],
    ] as const) {
      await page.getByRole("radio", { name: by }).check();
      await page.getByRole("row", { name: new RegExp(row) }).waitFor();
    }
    expect(misdeeds).toEqual([]);
  });

  it("the playground streams an answer and shows route, times, tokens, request id and the curl, without the key", async () => {
    const { page, misdeeds } = await at("Playground");
    await page.getByLabel("For").selectOption("Clinical");
    await page.getByLabel("Prompt").fill("Patient complaint: chest pain");
    await page.getByRole("button", { name: "Ask" }).click();
    const answer = page.getByRole("region", { name: "Answer" });
    await answer.getByText("whole", { exact: true }).waitFor();
    expect(await answer.locator(".answer-text").innerText()).toContain("señor, ça va.");
    const facts = await answer.innerText();
    expect(facts).toContain("BiMediX2-8B on 8085 of box1");
    expect(facts).toContain("9 in, 20 out");
    expect(facts).toMatch(/req_\d{12}/);
    const curl = await page.getByRole("region", { name: "The same with curl" }).innerText();
    expect(curl).toContain("$ISHA_KEY");
    expect(curl).toContain('"agent_type":"Clinical"');
    expect(await page.content()).not.toContain(ADMIN_KEY.slice(-20));
    expect(misdeeds).toEqual([]);
  });

  it("the playground stops, says what broke, what was full, who stood in, and why a key may not ask", async () => {
    const { page } = await at("Playground", await theatre.signedIn());
    const ask = async (prompt: string): Promise<void> => {
      await page.getByLabel("Prompt").fill(prompt);
      await page.getByRole("button", { name: "Ask" }).click();
    };
    await ask(PROMPTS.endless);
    await page.locator(".answer-text").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("stopped by you").waitFor();
    await ask(PROMPTS.broken);
    await page.getByText("The llama-server broke off. Ask again.").waitFor();
    await page.getByText("broke off", { exact: true }).waitFor();
    await ask(PROMPTS.full);
    await page.getByText("Every queue is full. Ask again in 8 s.").waitFor();
    await ask(PROMPTS.fallback);
    await page.getByText("8084 wasn't up").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await signIn(page, ADMIN_ONLY_KEY);
    await ask("anything");
    await page.getByText("it lacks the scope “infer”").waitFor();
  });

  it("a prompt outlives neither its view nor the page, in no store and no address", async () => {
    const { page, misdeeds } = await at("Playground");
    await page.getByLabel("Prompt").fill("Jane Doe has chest pain");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("whole", { exact: true }).waitFor();
    expect(await leftBehind(page)).not.toContain("Jane");
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Keys" }).waitFor();
    expect(await page.content()).not.toContain("Jane");
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Playground" }).waitFor();
    expect(await page.getByLabel("Prompt").inputValue()).toBe("");
    expect(misdeeds).toEqual([]);
  });
});
