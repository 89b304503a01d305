// The live overview in a real browser: a change at the edge is shown at once, and old figures are marked as old.
import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { absurdFleet, allDown, newFleet, tenBoxes, troubledFleet } from "../support/scenes.ts";
import { until } from "../../support/until.ts";
import { announced, BROWSER, advanceUntil, pauseClock, TestBrowser } from "../support/test-page.ts";

const browser = new TestBrowser();

/** Waits until the element has the keyboard focus. */
const focused = (locator: Locator): Promise<true> =>
  until(() => locator.evaluate((element) => element === document.activeElement));

describe.skipIf(BROWSER === null)("the overview", () => {
  beforeAll(() => browser.open());
  afterEach(({ task }) => browser.clear(task.result?.state === "fail"));
  afterAll(() => browser.close());

  it("shows a killed server and its return as soon as the edge reports it, without any timer of the page", async () => {
    const { page, edge, violations } = await browser.shared();
    await pauseClock(page);
    edge.fleet.kill(8085);
    edge.publish();
    await page
      .getByRole("heading", { level: 1, name: /^BiMediX2-8B on 8085 has been down for .+: PM2 restarts it$/ })
      .waitFor();
    await page.getByRole("row", { name: /8085/ }).getByText("down", { exact: true }).waitFor();
    await page.getByRole("region", { name: "Events" }).getByText("8085 went down").waitFor();
    await announced(page, "BiMediX2-8B on 8085 is down");
    Object.assign(edge.fleet.server(8085), { state: "ready", why: "" });
    edge.publish();
    await page.getByRole("heading", { name: "All five servers are up" }).waitFor();
    expect(violations).toEqual([]);
    await page.clock.resume();
  });

  it("is marked as old when the edge falls silent, and is live again by itself after an outage", async () => {
    const { page, edge } = await browser.shared();
    await page.getByText("live", { exact: true }).waitFor();
    edge.setOffline(true);
    await advanceUntil(page, () => page.getByText(/^No update from the edge for \d/).isVisible());
    await page.getByRole("heading", { level: 1, name: /^Last known: All five/ }).waitFor();
    edge.fleet.kill(8081);
    edge.setOffline(false);
    await advanceUntil(page, () => edge.openStreams > 0);
    await page.getByRole("heading", { level: 1, name: /^MedPalm2-8B on 8081 has been down/ }).waitFor();
    await page.getByText("live", { exact: true }).waitFor();
  });

  it("drains a box, resumes it and restarts a server, each only after a confirmation", async () => {
    const { page, edge, violations } = await browser.shared();
    await page.getByRole("button", { name: "Drain" }).click();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(edge.commands).toEqual([]);
    await focused(page.getByRole("button", { name: "Drain" }));
    await page.getByRole("button", { name: "Drain" }).click();
    await page.getByRole("button", { name: "Drain box1" }).click();
    await page.getByRole("heading", { level: 1, name: "Nothing is served: box1 is drained" }).waitFor();
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Resume box1" }).click();
    await announced(page, "Requested a resume of box1.");
    await page.getByRole("button", { name: "Restart 8085" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restart 8085" }).click();
    await announced(page, "Requested a restart of 8085 on box1.");
    expect(edge.commands).toEqual(["box1/drain", "box1/resume", "box1/servers/8085/restart"]);
    expect(violations).toEqual([]);
  });

  it("draws the history of 15 minutes and of 24 hours, and describes it as text", async () => {
    const { page, violations } = await browser.shared();
    const charts = page.getByRole("region", { name: "History of box1" });
    const utilisation = charts.getByRole("img", { name: /^Utilisation: now \d+ %/ });
    const label = await utilisation.getAttribute("aria-label");
    await until(async () => (await charts.locator("canvas").count()) === 6);
    await charts.getByRole("radio", { name: "24 hours" }).check();
    await until(async () => (await utilisation.getAttribute("aria-label")) !== label);
    await charts.getByRole("img", { name: /^GPU memory: now 23.0 GiB/ }).waitFor();
    await until(async () => (await charts.locator("canvas").count()) === 6);
    expect(violations).toEqual([]);
  });

  it("opens a failure's details, and looks up any request id", async () => {
    const { page, violations } = await browser.shared();
    await page.getByRole("link", { name: /upstream_failed/ }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("The llama-server broke the connection").waitFor();
    await dialog.getByText("Mediczy production").waitFor();
    await dialog.getByText("Claims", { exact: true }).waitFor();
    await dialog.getByRole("button", { name: "Copy the link" }).click();
    await dialog.getByText("Copied", { exact: true }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain("#overview/req_33339f3kq1c2x7");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.evaluate((link) => (location.href = link), copied);
    await dialog.getByText("The llama-server broke the connection").waitFor();
    await page.goBack();
    await dialog.waitFor({ state: "detached" });
    await page.getByLabel("Look up a request id").fill("req_of_yesterday");
    await page.getByRole("button", { name: "Look up" }).click();
    await page.getByRole("dialog").getByText("There is no record of this request").waitFor();
    expect(violations).toEqual([]);
  });

  it("lists our failures first with key names, and the callers' by code and key; a copy button has the whole id", async () => {
    const { page, violations } = await browser.shared();
    const panel = page.getByRole("region", { name: "Recent failures" });
    await panel.getByText("Mediczy production · BiMediX2-8B on 8085 · req_00009f3k…").waitFor();
    await panel.getByRole("button", { name: "Copy req_00009f3kq1c2x7" }).click();
    await announced(page, "Copied req_00009f3kq1c2x7.");
    await panel.getByRole("button", { name: /^120 × invalid_request Rt5vWx7yZ9/ }).click();
    await until(() => page.evaluate(() => location.hash === "#overview?code=invalid_request&key=Rt5vWx7yZ9"));
    await panel.getByRole("heading", { name: "One by one" }).waitFor();
    await panel.getByRole("link", { name: /invalid_request/ }).waitFor();
    expect(await panel.getByText("341 ×").count()).toBe(0);
    await panel.getByRole("button", { name: /^Rt5vWx7yZ9/ }).click();
    await panel.getByRole("button", { name: /^invalid_request\s+remove/ }).click();
    await panel.getByText("341 ×").waitFor();
    await panel.getByLabel("Agent type").selectOption("Claims");
    await until(() => page.evaluate(() => location.hash === "#overview?agent=Claims"));
    await panel.getByRole("listitem").filter({ hasText: "upstream_failed" }).getByText("Claims").waitFor();
    expect(await panel.getByRole("link").count()).toBe(1);
    await panel.getByLabel("Agent type").selectOption("Unknown");
    await until(async () => (await panel.getByText("agent unknown").count()) === 2);
    await panel.getByText("None of the last day matches.").waitFor();
    await panel.getByLabel("Agent type").selectOption("All agent types");
    await panel.getByText("341 ×").waitFor();
    expect(violations).toEqual([]);
  });

  it("shows rates over a chosen window, and a bar filters the traffic and the failures", async () => {
    const { page, violations } = await browser.shared();
    const traffic = page.getByRole("region", { name: "Traffic" });
    await traffic.getByText("933 calls").waitFor();
    await traffic.getByRole("radio", { name: "1 hour" }).check();
    await traffic.getByText("10,263 calls").waitFor();
    await traffic.getByRole("button", { name: "Clinical" }).click();
    await traffic.getByText("4,532 calls").waitFor();
    await traffic.getByRole("button", { name: /^overloaded/ }).click();
    await until(() =>
      page.evaluate(() => location.hash === "#overview?window=3600&agent=Clinical&code=overloaded"),
    );
    const failures = page.getByRole("region", { name: "Recent failures" });
    await until(async () => (await failures.getByRole("link").count()) === 1);
    expect(violations).toEqual([]);
  });

  it("shows the unknown as unknown if the only agent is silent: no 0 calls, no free slots", async () => {
    const { page, edge } = await browser.shared();
    edge.fleet.silence("box1", 63_000);
    edge.fleet.traffic = { ...edge.fleet.traffic, windowS: 0, byAgent: [] };
    edge.fleet.traffic.windows = [{ windowS: 300, coveredS: 0, byAgent: null, byCode: [] }];
    edge.publish();
    await page.getByRole("heading", { level: 1, name: /^Nothing is served: box1 has been silent/ }).waitFor();
    await page.getByText("No agent reports its traffic").waitFor();
    const text = await page.locator("main").innerText();
    expect(text).toContain("0 requests at the edge");
    expect(text).toContain("slots, queue and tokens per second are unknown");
    expect(text).not.toMatch(/0 s\b.*calls|\b0 calls|\b0 of \d+ slots|0\.0 tokens/);
  });

  it("on a phone has the worst first, the healthy ones folded, and restart in the headline", async () => {
    const { page, edge } = await browser.shared();
    edge.fleet.kill(8085);
    edge.publish();
    await page.setViewportSize({ width: 390, height: 844 });
    const headline = page.getByRole("region", { name: "The fleet now" });
    await headline.getByRole("button", { name: "Restart 8085" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restart 8085" }).click();
    await until(() => edge.commands.includes("box1/servers/8085/restart"));
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const servers = page.getByRole("table", { name: "Servers of box1" });
    await until(async () => (await servers.getByRole("rowheader").count()) === 1);
    await page.getByRole("button", { name: "Show four healthy servers" }).click();
    await until(async () => (await servers.getByRole("rowheader").count()) === 5);
    Object.assign(edge.fleet.server(8085), { state: "ready", why: "" });
    edge.publish();
    await page.getByText("5 of 5 ready").waitFor();
  });

  it("a badge shows that figures are simulated", async () => {
    const { page, edge } = await browser.shared();
    expect(await page.getByRole("banner").getByText("simulated").count()).toBe(0);
    edge.fleet.box().simulated = true;
    edge.publish();
    await page.getByRole("banner").getByText("simulated").waitFor();
  });

  it("the header and the content have the same edges at every width", async () => {
    const { page } = await browser.shared();
    const box = async (selector: string) => page.locator(selector).first().boundingBox();
    for (const width of [390, 820, 1280, 1920, 2560]) {
      await page.setViewportSize({ width, height: 900 });
      const [logo, card, out] = [await box(".logo"), await box(".headline"), await box(".top-end")];
      expect([width, logo?.x]).toEqual([width, card?.x]);
      const end = (one: typeof out): number => Math.round((one?.x ?? 0) + (one?.width ?? 0));
      expect([width, end(out)]).toEqual([width, end(card)]);
    }
  });

  it("absurd figures, wrong clocks and names with markup stay readable, also on a phone", async () => {
    const { page, edge, violations } = await browser.shared();
    edge.fleet = absurdFleet(Date.now);
    edge.publish();
    await page.getByText("<img src=x").first().waitFor();
    expect(await page.locator("main img, main script").count()).toBe(0);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 844 });
      await until(() =>
        page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth),
      );
    }
    // A thousand events a minute are lists at their limits in each of many updates.
    for (let n = 0; n < 50; n += 1) {
      edge.fleet.addEvent("bad", `event ${n}`);
      edge.fleet.events.length = 100;
      edge.publish();
    }
    await page.getByText("event 49").waitFor();
    expect(await page.locator(".events li").count()).toBeLessThan(20);
    expect(violations).toEqual([]);
  });

  it.each([
    [
      "ten boxes: those that need attention first",
      tenBoxes,
      /^box3 has been silent for .+, and two other issues$/,
    ],
    ["everything down", allDown, /^Nothing is served$/],
    ["a fleet that has never reported", newFleet, /^Nothing is served: box1 hasn't reported yet$/],
    ["an alarm with its advice", troubledFleet, /^OpenInsurance-8B on 8084 has been stalled/],
  ])("%s", async (_title, scene, name) => {
    const { page, edge, violations } = await browser.shared();
    edge.fleet = scene(Date.now);
    edge.publish();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    if (scene === troubledFleet) await page.getByText("pm2 logs llama-bimedix2-8085").waitFor();
    if (scene === tenBoxes) {
      const boxes = await page
        .getByRole("region", { name: "Boxes" })
        .getByRole("heading", { level: 2 })
        .allInnerTexts();
      expect(boxes.slice(0, 4)).toEqual(["box3", "box7", "box5", "box1"]);
    }
    expect(violations).toEqual([]);
  });
});
