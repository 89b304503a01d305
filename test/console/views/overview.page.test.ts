// The live overview in a real browser: a change at the edge is shown at once, and old figures are marked as old.
import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { allDown, newFleet, tenBoxes, troubledFleet } from "../support/scenes.ts";
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
    await page.getByRole("heading", { level: 1, name: "box1 is draining" }).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("button", { name: "Resume box1" }).click();
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
    await page.getByRole("button", { name: /upstream_failed/ }).click();
    await page.getByRole("dialog").getByText("The llama-server broke the connection").waitFor();
    await page.keyboard.press("Escape");
    await page.getByLabel("Look up a request id").fill("req_of_yesterday");
    await page.getByRole("button", { name: "Look up" }).click();
    await page.getByRole("dialog").getByText("There is no record of this request").waitFor();
    expect(violations).toEqual([]);
  });

  it.each([
    [
      "ten boxes: those that need attention first",
      tenBoxes,
      /^box3 has been silent for .+, and two other issues$/,
    ],
    ["everything down", allDown, /^No model can be served$/],
    ["a fleet that has never reported", newFleet, /^No model can be served: box1 hasn't reported yet$/],
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
