import { describe, expect, it } from "vitest";
import { boxLevel, headline } from "../../console/model/headline.ts";
import { FakeFleet } from "./support/fake-fleet.ts";
import { allDown, newFleet, tenBoxes, troubledFleet } from "./support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;
const shown = (fleet: FakeFleet, at = NOW): string => headline(fleet.view(), at).shown;

describe("the headline says in one line how the fleet is", () => {
  it("all well: how many, and on how many boxes", () => {
    expect(shown(new FakeFleet(clock))).toBe("All five servers are up");
    expect(shown(new FakeFleet(clock, { names: ["a", "b"] }))).toBe("All ten servers on two boxes are up");
    const small = new FakeFleet(clock);
    small.box().servers.splice(2);
    expect(shown(small)).toBe("Both servers are up");
    small.box().servers.splice(1);
    expect(shown(small)).toBe("The one server is up");
  });

  it("one server down: which, since when, why, and whom it touches", () => {
    const fleet = new FakeFleet(clock);
    fleet.kill(8085);
    const { level, shown, said, troubles } = headline(fleet.view(), NOW + 12_000);
    expect({ level, shown, said }).toEqual({
      level: "bad",
      shown: "BiMediX2-8B on 8085 is down since 12 s: PM2 restarts it",
      said: "BiMediX2-8B on 8085 is down",
    });
    expect(troubles[0]?.effect).toBe(
      "No other server has this model. Calls for Clinical, AIDoctor fall back to other models.",
    );
  });

  it("a replica that goes on is named", () => {
    const fleet = new FakeFleet(clock);
    fleet.kill(8080);
    expect(headline(fleet.view(), NOW).troubles[0]?.effect).toBe("The same model is up on 8082.");
  });

  it("the worst comes first, and the others are counted", () => {
    const { shown, troubles } = headline(troubledFleet(clock).view(), NOW);
    expect(shown).toBe(
      "OpenInsurance-8B on 8084 is stalled since 21 s: no token for 21 s, and two other things",
    );
    expect(troubles.map(({ level }) => level)).toEqual(["bad", "bad", "warn"]);
  });

  it("with more than one box a server's box is named, and only some of its replicas", () => {
    const { troubles } = headline(tenBoxes(clock).view(), NOW);
    const down = troubles.find(({ what }) => what === "BiMediX2-8B on 8085 of box7 is down");
    expect(down?.effect).toBe("The same model is up on box1:8085, box2:8085, box4:8085 and five more.");
    expect(troubles.map(({ what }) => what)).toContain("box5 is draining");
    expect(troubles.map(({ what, since }) => `${what} ${since}`)).toContain("box3 is silent since 47 s");
  });

  it("a whole box in one state is one trouble, and nothing is said to fall back where nothing is up", () => {
    const { shown, troubles } = headline(allDown(clock).view(), NOW + 3_000);
    expect(shown).toBe("No model can be served");
    expect(troubles.map(({ what }) => what)).toEqual(["All five servers of box1 are down", "box2 is silent"]);
    expect(troubles.every(({ effect }) => effect === "")).toBe(true);
  });

  it("a box that was never heard is said so", () => {
    expect(shown(newFleet(clock))).toBe("No model can be served: box1 hasn't been heard yet");
  });

  it("what a screen reader is told holds no duration, so that it doesn't change with the clock", () => {
    for (const scene of [troubledFleet, tenBoxes, allDown]) {
      const view = scene(clock).view();
      expect(headline(view, NOW + 60_000).said).toBe(headline(view, NOW).said);
    }
  });
});

it("a box is as bad as the worst on it", () => {
  const fleet = tenBoxes(clock);
  const levels = ["box1", "box3", "box5", "box7"].map((name) => boxLevel(fleet.box(name)));
  expect(levels).toEqual(["good", "bad", "warn", "bad"]);
});
