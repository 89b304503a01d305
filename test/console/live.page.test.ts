// The live overview in a real browser: what changes at the edge is on the screen at once, and what is old says so.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { allDown, newFleet, tenBoxes, troubledFleet } from "./scenes.ts";
import { CHROMIUM, Theatre, WITHIN_MS } from "./stage.ts";

const theatre = new Theatre();

/** The issue's own bound: a killed server is on the screen within two seconds. */
const SHOWN_WITHIN_MS = 2_000;

describe.skipIf(CHROMIUM === null)("the overview", () => {
  beforeAll(() => theatre.open());
  afterEach(() => theatre.clear());
  afterAll(() => theatre.close());

  it("shows a killed server within 2 s, in the headline, its row and the events, and its return", async () => {
    const { page, edge, misdeeds } = await theatre.signedIn();
    await page.getByRole("heading", { name: "All five servers are up" }).waitFor();
    edge.fleet.kill(8085);
    edge.tell();
    await page
      .getByRole("heading", { level: 1, name: /^BiMediX2-8B on 8085 is down since \d s: PM2 restarts it$/ })
      .waitFor({ timeout: SHOWN_WITHIN_MS });
    await page.getByRole("row", { name: /8085/ }).getByText("down", { exact: true }).waitFor();
    await page.getByRole("region", { name: "What happened" }).getByText("8085 went down").waitFor();
    const spoken = page.locator('p.unseen[role="status"]');
    expect(await spoken.innerText()).toBe("BiMediX2-8B on 8085 is down");
    Object.assign(edge.fleet.server(8085), { state: "ready", why: "" });
    edge.tell();
    await page
      .getByRole("heading", { name: "All five servers are up" })
      .waitFor({ timeout: SHOWN_WITHIN_MS });
    expect(misdeeds).toEqual([]);
  });

  it("says that it is old when the edge falls silent, and is live again by itself after an outage", async () => {
    const { page, edge } = await theatre.signedIn();
    await page.getByText("live", { exact: true }).waitFor();
    edge.away(true);
    await page.getByText(/^No word from the edge since \d+ s/).waitFor({ timeout: 2 * WITHIN_MS });
    await page.getByRole("heading", { level: 1, name: /^Last known: All five/ }).waitFor();
    edge.fleet.kill(8081);
    edge.away(false);
    await page
      .getByRole("heading", { level: 1, name: /^MedPalm2-8B on 8081 is down/ })
      .waitFor({ timeout: 20_000 });
    await page.getByText("live", { exact: true }).waitFor();
  });

  it("drains a box, resumes it and restarts a server, each only once it was confirmed", async () => {
    const { page, edge, misdeeds } = await theatre.signedIn();
    await page.getByRole("button", { name: "Drain" }).click();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(edge.commands).toEqual([]);
    expect(
      await page.getByRole("button", { name: "Drain" }).evaluate((it) => it === document.activeElement),
    ).toBe(true);
    await page.getByRole("button", { name: "Drain" }).click();
    await page.getByRole("button", { name: "Drain box1" }).click();
    await page.getByRole("heading", { level: 1, name: "box1 is draining" }).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("button", { name: "Resume box1" }).click();
    await page.getByRole("button", { name: "Restart 8085" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Restart 8085" }).click();
    await page.getByText("PM2 was told to restart 8085 on box1.").waitFor();
    expect(edge.commands).toEqual(["box1/drain", "box1/resume", "box1/servers/8085/restart"]);
    expect(misdeeds).toEqual([]);
  });

  it("draws the history of 15 minutes and of 24 hours, and says it in words", async () => {
    const { page, misdeeds } = await theatre.signedIn();
    const charts = page.getByRole("region", { name: "History of box1" });
    await charts.getByRole("img", { name: /^Utilisation: now \d+ %/ }).waitFor();
    expect(await charts.locator("canvas").count()).toBe(6);
    await charts.getByRole("radio", { name: "24 hours" }).check();
    await charts.getByRole("img", { name: /^GPU memory: now 23.0 GiB/ }).waitFor();
    expect(misdeeds).toEqual([]);
  });

  it("opens a failure's fate, and looks up any request id", async () => {
    const { page, misdeeds } = await theatre.signedIn();
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
      /^box3 is silent since \d+ s, and two other things$/,
    ],
    ["everything down", allDown, /^No model can be served$/],
    ["a fleet that was never heard", newFleet, /^No model can be served: box1 hasn't been heard yet$/],
    ["an alarm with its advice", troubledFleet, /^OpenInsurance-8B on 8084 is stalled/],
  ])("%s", async (_what, scene, name) => {
    const { page, misdeeds } = await theatre.signedIn({ scene });
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
