// The console on the whole stack: the page out of the Worker's assets, the data of the real edge, a server that dies.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Browser, Page } from "playwright-core";
import { findChromium, launch } from "../../console/support/chromium.ts";
import { startReady, type Stack } from "../support/ask.ts";
import { WAIT_MS } from "../../support/until.ts";

const CHROMIUM = await findChromium();

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 200 } });
});
afterAll(async () => {
  await stack?.stop();
});

test("the page and its files come with our headers, and nothing else is there", async () => {
  const page = await fetch(`${stack.edgeUrl}/console`);
  expect(page.status).toBe(200);
  expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
  expect(page.headers.get("cache-control")).toBe("no-cache");
  expect(page.headers.get("x-request-id")).toMatch(/^req_/);
  expect(page.headers.get("strict-transport-security")).not.toBeNull();
  const script = /src="([^"]+)"/.exec(await page.text())?.[1] ?? "";
  const file = await fetch(`${stack.edgeUrl}${script}`);
  expect([file.status, file.headers.get("content-type")?.split(";")[0]]).toEqual([200, "text/javascript"]);
  expect(file.headers.get("cache-control")).toContain("immutable");
  expect((await file.text()).length).toBeGreaterThan(10_000);
  for (const path of ["/console/index.html", "/console/app-00000000.js", "/index.html", "/app.js"]) {
    expect([path, (await fetch(`${stack.edgeUrl}${path}`)).status]).toEqual([path, 404]);
  }
});

describe.skipIf(CHROMIUM === null)("in Chromium, on the real edge", () => {
  let browser: Browser;
  let page: Page;
  const errors: string[] = [];
  beforeAll(async () => {
    browser = await launch(CHROMIUM ?? "");
    page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(WAIT_MS);
    page.on("console", (message) => {
      const refused = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !refused) errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`${stack.edgeUrl}/console`);
    await page.getByLabel("Admin key").fill("dev-admin");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { level: 1, name: "All five servers are up" }).waitFor();
  });
  afterAll(async () => {
    await browser?.close();
  });

  test("a key made there asks the playground's question, which streams", async () => {
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("textbox", { name: "Name" }).fill("Both scopes");
    await page.getByLabel("manage the fleet").check();
    await page.getByRole("button", { name: "Make the key" }).click();
    const secret = await page.locator(".secret-text").innerText();
    await page.keyboard.press("Escape");
    await page.getByText("You haven't copied it").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin key").fill(secret);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: "Playground", exact: true }).click();
    await page.getByLabel("Agent or model").selectOption("Clinical");
    await page.getByLabel("Prompt", { exact: true }).fill("Patient complaint: chest pain");
    await page.getByRole("button", { name: "Ask" }).click();
    const answer = page.getByRole("region", { name: "Conversation" });
    await answer.getByText("complete", { exact: true }).waitFor();
    const facts = await answer.innerText();
    expect(facts).toContain("BiMediX2-8B on 8085 of box1 (simulated)");
    expect(facts).toMatch(/\d+ in, \d+ out/);
    expect(errors).toEqual([]);
  });

  test("a killed server is on the screen, and so is its return", async () => {
    await page.getByRole("link", { name: "Overview", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "All five servers are up" }).waitFor();
    await stack.killServer(8085);
    await page.getByRole("heading", { level: 1, name: /^BiMediX2-8B on 8085 has been down/ }).waitFor();
    await stack.startServer(8085);
    await page.getByRole("heading", { level: 1, name: "All five servers are up" }).waitFor();
    expect(errors).toEqual([]);
  });
});
