// The live overview in a real browser: a change at the edge is on the screen at once, and old figures are marked as old.
import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { allDown, newFleet, tenBoxes, troubledFleet } from "./support/scenes.ts";
import { until } from "../support/until.ts";
import { announced, BROWSER, jumpUntil, stopTime, Theatre } from "./support/stage.ts";

const theatre = new Theatre();

/** Waits until the keyboard's focus is there. */
const focused = (locator: Locator): Promise<true> =>
  until(() => locator.evaluate((element) => element === document.activeElement));

describe.skipIf(BROWSER === null)("the overview", () => {
  beforeAll(() => theatre.open());
  afterEach(({ task }) => theatre.clear(task.result?.state === "fail"));
  afterAll(() => theatre.close());

  it("shows a killed server and its return as soon as the edge reports it: no timer of the page has a part in it", async () => {
    const { page, edge, misdeeds } = await theatre.shared();
    await stopTime(page);
    edge.fleet.kill(8085);
    edge.tell();
    await page
      .getByRole("heading", { level: 1, name: /^BiMediX2-8B on 8085 is down since .+: PM2 restarts it$/ })
      .waitFor();
    await page.getByRole("row", { name: /8085/ }).getByText("down", { exact: true }).waitFor();
    await page.getByRole("region", { name: "What happened" }).getByText("8085 went down").waitFor();
    await announced(page, "BiMediX2-8B on 8085 is down");
    Object.assign(edge.fleet.server(8085), { state: "ready", why: "" });
    edge.tell();
    await page.getByRole("heading", { name: "All five servers are up" }).waitFor();
    expect(misdeeds).toEqual([]);
    await page.clock.resume();
  });

  it("says that it is old when the edge falls silent, and is live again by itself after an outage", async () => {
    const { page, edge } = await theatre.shared();
    await page.getByText("live", { exact: true }).waitFor();
    edge.away(true);
    await jumpUntil(page, () => page.getByText(/^No word from the edge since \d/).isVisible());
    await page.getByRole("heading", { level: 1, name: /^Last known: All five/ }).waitFor();
    edge.fleet.kill(8081);
    edge.away(false);
    await jumpUntil(page, () => edge.followers > 0);
    await page.getByRole("heading", { level: 1, name: /^MedPalm2-8B on 8081 is down/ }).waitFor();
    await page.getByText("live", { exact: true }).waitFor();
  });

  it("drains a box, resumes it and restarts a server, each only once it was confirmed", async () => {
    const { page, edge, misdeeds } = await theatre.shared();
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
    await announced(page, "box1 was told to resume.");
    await page.getByRole("button", { name: "Restart 8085" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restart 8085" }).click();
    await announced(page, "PM2 was told to restart 8085 on box1.");
    expect(edge.commands).toEqual(["box1/drain", "box1/resume", "box1/servers/8085/restart"]);
    expect(misdeeds).toEqual([]);
  });

  it("draws the history of 15 minutes and of 24 hours, and says it in words", async () => {
    const { page, misdeeds } = await theatre.shared();
    const charts = page.getByRole("region", { name: "History of box1" });
    const utilisation = charts.getByRole("img", { name: /^Utilisation: now \d+ %/ });
    const inWords = await utilisation.getAttribute("aria-label");
    await until(async () => (await charts.locator("canvas").count()) === 6);
    await charts.getByRole("radio", { name: "24 hours" }).check();
    await until(async () => (await utilisation.getAttribute("aria-label")) !== inWords);
    await charts.getByRole("img", { name: /^GPU memory: now 23.0 GiB/ }).waitFor();
    await until(async () => (await charts.locator("canvas").count()) === 6);
    expect(misdeeds).toEqual([]);
  });

  it("opens a failure's fate, and looks up any request id", async () => {
    const { page, misdeeds } = await theatre.shared();
    await page.getByRole("button", { name: /upstream_failed/ }).click();
    await page.getByRole("dialog").getByText("The llama-server broke the connection").waitFor();
    await page.keyboard.press("Escape");
    await page.getByLabel("Look up a request id").fill("req_of_yesterday");
    await page.getByRole("button", { name: "Look up" }).click();
    await page.getByRole("dialog").getByText("Nothing is kept of this id").waitFor();
    expect(misdeeds).toEqual([]);
  });

  it.each([
    [
      "ten boxes: those with something to see to first",
      tenBoxes,
      /^box3 is silent since .+, and two other things$/,
    ],
    ["everything down", allDown, /^No model can be served$/],
    ["a fleet that was never heard", newFleet, /^No model can be served: box1 hasn't been heard yet$/],
    ["an alarm with its advice", troubledFleet, /^OpenInsurance-8B on 8084 is stalled/],
  ])("%s", async (_what, scene, name) => {
    const { page, edge, misdeeds } = await theatre.shared();
    edge.fleet = scene(Date.now);
    edge.tell();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    if (scene === troubledFleet) await page.getByText("pm2 logs llama-bimedix2-8085").waitFor();
    if (scene === tenBoxes) {
      const boxes = await page
        .getByRole("region", { name: "Boxes" })
        .getByRole("heading", { level: 2 })
        .allInnerTexts();
      expect(boxes.slice(0, 4)).toEqual(["box3", "box7", "box5", "box1"]);
    }
    expect(misdeeds).toEqual([]);
  });
});
