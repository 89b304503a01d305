// The guide and the reference in a real browser: a call that streams, what the pages keep, accessibility.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../support/until.ts";
import { PROMPTS } from "../support/fake-chat.ts";
import { INFER_KEY } from "../support/fake-edge.ts";
import { BROWSER, persistedState, TestBrowser, type TestPage } from "../support/test-page.ts";

const browser = new TestBrowser();

async function openPage(
  path: string,
  options: Parameters<TestBrowser["signedOut"]>[0] = {},
): Promise<TestPage> {
  const testPage = await browser.signedOut(options);
  await testPage.page.goto(`${testPage.url}${path}`);
  return testPage;
}

/** The reference with a key, and its form for chat with this prompt. */
async function chatForm(prompt: string, stream = true) {
  const testPage = await openPage("/docs/reference");
  await testPage.page.getByLabel("API key").fill(INFER_KEY);
  const form = testPage.page.getByRole("form", { name: "Try: Answer a conversation" });
  const body = { agent_type: "Clinical", stream, messages: [{ role: "user", content: prompt }] };
  await form.getByLabel("Body").fill(JSON.stringify(body));
  return { ...testPage, form };
}

describe.skipIf(BROWSER === null)("the documents", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("a call tried on the page shows its answer while it arrives, until the reader stops it", async () => {
    const { form, violations } = await chatForm(PROMPTS.endless);
    await form.getByRole("button", { name: "Send" }).click();
    const text = form.getByLabel("Text of the answer");
    await until(async () => (await text.innerText()).includes("Chest pain that comes"));
    expect(await form.getByRole("status").innerText()).toBe("200 OK, receiving…");
    await form.getByRole("button", { name: "Stop" }).click();
    await form.getByText("Stopped by you").waitFor();
    expect(violations).toEqual([]);
  });

  it("shows text, headers and events of a complete answer, streamed or not", async () => {
    for (const stream of [true, false]) {
      const { form, violations } = await chatForm("chest pain", stream);
      await form.getByRole("button", { name: "Send" }).click();
      await form.getByText(/^200 OK, \d/).waitFor();
      expect(await form.getByLabel("Text of the answer").innerText()).toContain("señor, ça va.");
      expect(await form.getByLabel("Answer as received").innerText()).toContain(
        stream ? "[DONE]" : '"usage"',
      );
      await form.getByText("Headers", { exact: true }).click();
      expect(await form.getByLabel("Headers of the answer").innerText()).toContain("x-isha-port: 8085");
      expect(violations).toEqual([]);
    }
  });

  it("shows an error as it is, and refuses a body that isn't JSON before it is sent", async () => {
    const { form, page } = await chatForm(PROMPTS.full);
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText(/^503 /).waitFor();
    expect(await form.getByLabel("Answer as received").innerText()).toContain("Every queue is full");
    await form.getByLabel("Body").fill("{");
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText("The body isn't valid JSON").waitFor();
    await page.getByLabel("API key").fill("not a key");
    await form.getByLabel("Body").fill("{}");
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText("The key has characters").waitFor();
  });

  it("keeps neither the key nor a prompt", async () => {
    const { form, page } = await chatForm("Jane Doe has chest pain");
    await form.getByRole("button", { name: "Send" }).click();
    await form.getByText(/^200 OK, \d/).waitFor();
    const kept = await persistedState(page);
    expect(kept).not.toContain("Jane");
    expect(kept).not.toContain(INFER_KEY);
    await page.reload();
    expect(await page.getByLabel("API key").inputValue()).toBe("");
    expect(await page.content()).not.toContain("Jane");
  });

  it("copies an example of the guide, with the host that serves it", async () => {
    const { page, url, violations } = await openPage("/docs");
    const block = page.locator(".code-frame", { hasText: "curl" }).first();
    await block.getByRole("button", { name: "Copy" }).click();
    await block.getByText("Copied").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain(`curl ${url}/v1/chat`);
    expect(violations).toEqual([]);
  });

  it.each([
    ["/docs", "light", 1280],
    ["/docs", "dark", 390],
    ["/docs/reference", "dark", 1280],
    ["/docs/reference", "light", 390],
  ] as const)("%s is accessible in %s at a width of %i", async (path, colorScheme, width) => {
    const { page, violations } = await openPage(path, { colorScheme, width });
    const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await page.evaluate(axe);
    const findings = await page.evaluate<{ id: string; nodes: { html: string }[] }[]>(
      "axe.run(document).then(({ violations }) => violations)",
    );
    expect(findings.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`)).toEqual(
      [],
    );
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    expect(violations).toEqual([]);
  });
});
