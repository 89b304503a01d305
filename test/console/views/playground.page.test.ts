// The playground in a real browser: answers, failures, and what happens to prompt and key.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../support/until.ts";
import { PROMPTS } from "../support/fake-chat.ts";
import { ADMIN_KEY, ADMIN_ONLY_KEY } from "../support/fake-edge.ts";
import { BROWSER, openView, persistedState, signIn, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

describe.skipIf(BROWSER === null)("the playground", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("streams an answer and shows route, times, tokens, request id and the curl, without the key", async () => {
    const { page, violations } = await openView(await browser.shared(), "Playground");
    await page.getByLabel("Agent or model").selectOption("Clinical");
    await page.getByLabel("Prompt", { exact: true }).fill("Patient complaint: chest pain");
    await page.getByRole("button", { name: "Ask" }).click();
    const answer = page.getByRole("region", { name: "Conversation" });
    await answer.getByText("complete", { exact: true }).waitFor();
    expect(await answer.locator(".answer-text").innerText()).toContain("señor, ça va.");
    const facts = await answer.innerText();
    expect(facts).toContain("BiMediX2-8B on 8085 of box1");
    expect(facts).toContain("9 in, 20 out");
    expect(facts).toMatch(/req_\d{12}/);
    const curl = await page.getByRole("region", { name: "The same request with curl" }).innerText();
    expect(curl).toContain("$ISHA_KEY");
    expect(curl).toContain('"agent_type":"Clinical"');
    expect(await page.content()).not.toContain(ADMIN_KEY.slice(-20));
    expect(violations).toEqual([]);
  });

  it("sends the conversation so far with each question, the system prompt and the temperature", async () => {
    const { page, edge, violations } = await openView(await browser.shared(), "Playground");
    const ask = async (prompt: string, turns: number): Promise<void> => {
      await page.getByLabel("Prompt", { exact: true }).fill(prompt);
      await page.getByRole("button", { name: "Ask" }).click();
      await until(async () => (await page.locator(".answer-facts").count()) === turns);
      await page.getByRole("button", { name: "Ask" }).waitFor();
    };
    await page.getByLabel("System prompt").fill("Answer briefly.");
    await page.getByLabel("Temperature").pressSequentially("0.25");
    await ask("first", 1);
    await page.getByText("complete", { exact: true }).waitFor();
    await ask(PROMPTS.full, 2);
    await page.getByText("Every queue is full. Try again in 8 s.").waitFor();
    // The refused question can be corrected and sent again.
    expect(await page.getByLabel("Prompt", { exact: true }).inputValue()).toBe(PROMPTS.full);
    await ask("second", 3);
    await page.getByText("not part of later questions").waitFor();
    const answer = await page.locator(".answer-text").first().innerText();
    expect(edge.calls.at(-1)).toMatchObject({
      temperature: 0.25,
      messages: [
        { role: "system", content: "Answer briefly." },
        { role: "user", content: "first" },
        { role: "assistant", content: answer },
        { role: "user", content: "second" },
      ],
    });
    const curl = await page.locator(".curl").innerText();
    expect(curl).toContain(`curl -N ${new URL(page.url()).origin}/v1/chat/completions`);
    expect(JSON.parse(/-d '(.*)'$/s.exec(curl)?.[1] ?? "")).toEqual(edge.calls.at(-1));
    await page.getByRole("button", { name: "New conversation" }).click();
    expect(await page.locator(".turns").count()).toBe(0);
    await ask("third", 1);
    expect(edge.calls.at(-1)).toMatchObject({ messages: [{ role: "system" }, { content: "third" }] });
    await page.getByLabel("Temperature").fill("7");
    await page.getByLabel("Prompt", { exact: true }).fill("hot");
    await page.getByText("The temperature must be between 0 and 2.").waitFor();
    expect(await page.getByRole("button", { name: "Ask" }).isDisabled()).toBe(true);
    expect(violations).toEqual([]);
  });

  it("a link opens it with a target, which is in the address; a target that doesn't exist is the default", async () => {
    const { page } = await openView(await browser.shared(), "Playground");
    const target = page.getByLabel("Agent or model");
    await target.selectOption("8081 · MedPalm2-8B");
    expect(new URL(page.url()).hash).toBe("#playground?target=port%3A8081");
    await page.evaluate(() => (location.hash = "#playground?target=model:Qwen-0.6B"));
    await until(async () => (await target.inputValue()) === "model:Qwen-0.6B");
    await page.evaluate(() => (location.hash = "#playground?target=model:<b>none</b>"));
    await until(async () => (await target.inputValue()) === "agent:Default");
  });

  it("stops on request, and explains a broken stream, full queues, a fallback and a refused key", async () => {
    const { page } = await openView(await browser.signedIn(), "Playground");
    const ask = async (prompt: string): Promise<void> => {
      await page.getByLabel("Prompt", { exact: true }).fill(prompt);
      await page.getByRole("button", { name: "Ask" }).click();
    };
    await ask(PROMPTS.endless);
    await page.locator(".answer-text").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("stopped by you").waitFor();
    await ask(PROMPTS.broken);
    await page.getByText("The llama-server broke the connection. Try again.").waitFor();
    await page.getByText("incomplete", { exact: true }).waitFor();
    await ask(PROMPTS.full);
    await page.getByText("Every queue is full. Try again in 8 s.").waitFor();
    await ask(PROMPTS.fallback);
    await page.getByText("8084 wasn't up").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await signIn(page, ADMIN_ONLY_KEY);
    await ask("anything");
    await page.getByText("it lacks the scope “infer”").waitFor();
  });

  it("a prompt is kept neither in storage or addresses, nor when the operator leaves the view", async () => {
    const { page, violations } = await openView(await browser.shared(), "Playground");
    await page.getByLabel("Prompt", { exact: true }).fill("Jane Doe has chest pain");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("complete", { exact: true }).waitFor();
    expect(await persistedState(page)).not.toContain("Jane");
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Keys" }).waitFor();
    expect(await page.content()).not.toContain("Jane");
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Playground" }).waitFor();
    expect(await page.getByLabel("Prompt", { exact: true }).inputValue()).toBe("");
    expect(violations).toEqual([]);
  });
});
