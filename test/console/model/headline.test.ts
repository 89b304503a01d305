import { describe, expect, it } from "vitest";
import { boxLevel, headline } from "../../../console/model/headline.ts";
import { FakeFleet } from "../support/fake-fleet.ts";
import { allDown, drainedFleet, newFleet, tenBoxes, troubledFleet } from "../support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;
const textOf = (fleet: FakeFleet, at = NOW): string => headline(fleet.view(), at).text;

describe("the headline summarises the fleet in one line", () => {
  it("all up: the number of servers and boxes", () => {
    expect(textOf(new FakeFleet(clock))).toBe("All five servers are up");
    expect(textOf(new FakeFleet(clock, { names: ["a", "b"] }))).toBe("All ten servers on two boxes are up");
    const small = new FakeFleet(clock);
    small.box().servers.splice(2);
    expect(textOf(small)).toBe("Both servers are up");
    small.box().servers.splice(1);
    expect(textOf(small)).toBe("The only server is up");
  });

  it("one server down: name, duration, reason and affected calls", () => {
    const fleet = new FakeFleet(clock);
    fleet.kill(8085);
    const { level, text, announcement, troubles } = headline(fleet.view(), NOW + 12_000);
    expect({ level, text, announcement }).toEqual({
      level: "bad",
      text: "BiMediX2-8B on 8085 has been down for 12 s: PM2 restarts it",
      announcement: "BiMediX2-8B on 8085 is down",
    });
    expect(troubles[0]?.effect).toBe(
      "No other server has this model. Calls for Clinical, AIDoctor fall back to other models.",
    );
  });

  it("a replica that takes over is named", () => {
    const fleet = new FakeFleet(clock);
    fleet.kill(8080);
    expect(headline(fleet.view(), NOW).troubles[0]?.effect).toBe("The same model is up on 8082.");
  });

  it("the worst comes first, and the others are counted", () => {
    const { text, troubles } = headline(troubledFleet(clock).view(), NOW);
    expect(text).toBe(
      "OpenInsurance-8B on 8084 has been stalled for 21 s: no token for 21 s, and two other issues",
    );
    expect(troubles.map(({ level }) => level)).toEqual(["bad", "bad", "warn"]);
  });

  it("with several boxes a server's box is named, and some of its replicas", () => {
    const { troubles } = headline(tenBoxes(clock).view(), NOW);
    const down = troubles.find(({ summary }) => summary === "BiMediX2-8B on 8085 of box7 is down");
    expect(down?.effect).toBe("The same model is up on box1:8085, box2:8085, box4:8085 and four more.");
    expect(troubles.map(({ summary }) => summary)).toContain("box5 is drained");
    expect(troubles.map(({ sentence }) => sentence)).toContain("box3 has been silent for 47 s");
  });

  it("a box with all servers in one state is one trouble, and nothing falls back if no model is up", () => {
    const { text, troubles } = headline(allDown(clock).view(), NOW + 3_000);
    expect(text).toBe("Nothing is served");
    expect(troubles.map(({ summary }) => summary)).toEqual([
      "All five servers of box1 are down",
      "box2 is silent",
    ]);
    expect(troubles.every(({ effect }) => effect === "")).toBe(true);
  });

  it("a drained fleet serves nothing, and can be resumed there", () => {
    const { level, text, announcement, troubles } = headline(drainedFleet(clock).view(), NOW);
    expect({ level, text, announcement }).toEqual({
      level: "bad",
      text: "Nothing is served: box1 is drained",
      announcement: "Nothing is served: box1 is drained",
    });
    expect(troubles[0]).toMatchObject({
      sentence: "box1 has been drained for 4 min",
      remedy: { kind: "resume", box: "box1", port: null },
    });
    const two = new FakeFleet(clock, { names: ["a", "b", "c", "d"] });
    for (const box of two.boxes) box.state = "draining";
    expect(textOf(two)).toBe("Nothing is served: a, b and two more are drained");
  });

  it("a drained box next to another is no outage, and its servers replace no others", () => {
    const fleet = new FakeFleet(clock, { names: ["a", "b"] });
    fleet.box("b").state = "draining";
    for (const server of fleet.box("b").servers) server.busy = 0;
    fleet.kill(8085, "a");
    const { text, troubles } = headline(fleet.view(), NOW);
    expect(text).toMatch(/^BiMediX2-8B on 8085 of a has been down/);
    expect(troubles[0]?.effect).toContain("No other server has this model");
    expect(troubles[0]?.remedy).toEqual({ kind: "restart", box: "a", port: 8085 });
    expect(troubles[1]).toMatchObject({ level: "warn", summary: "b is drained" });
  });

  it("a box whose agent shuts down can't be resumed", () => {
    const fleet = new FakeFleet(clock);
    Object.assign(fleet.box(), { state: "draining", drainedAt: null });
    expect(headline(fleet.view(), NOW).troubles[0]?.remedy).toBeNull();
  });

  it("a box that has never reported is named", () => {
    expect(textOf(newFleet(clock))).toBe("Nothing is served: box1 hasn't reported yet");
  });

  it("the announcement contains no duration, so that it doesn't change with the clock", () => {
    for (const scene of [troubledFleet, tenBoxes, allDown]) {
      const view = scene(clock).view();
      expect(headline(view, NOW + 60_000).announcement).toBe(headline(view, NOW).announcement);
    }
  });
});

it("a box has the worst level of its servers", () => {
  const fleet = tenBoxes(clock);
  const levels = ["box1", "box3", "box5", "box7"].map((name) => boxLevel(fleet.box(name)));
  expect(levels).toEqual(["good", "bad", "warn", "bad"]);
});
