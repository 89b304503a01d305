import { describe, expect, it } from "vitest";
import { memoryBar } from "../../../console/model/memory-bar.ts";
import { FakeFleet } from "../support/fake-fleet.ts";
import { newFleet } from "../support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;

describe("the memory bar", () => {
  it("has a segment for each server and one for the rest of the card", () => {
    const bar = memoryBar(new FakeFleet(clock).box());
    expect(bar.segments.map(({ key }) => key)).toEqual(["8080", "8081", "8082", "8084", "8085", "rest"]);
    expect(bar.segments.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo((bar.usedGib ?? 0) / 24, 3);
    expect(bar.text).toBe("23.0 GiB of 24.0 GiB in use, 23.1 GiB planned");
  });

  it("marks servers above their plan", () => {
    const fleet = new FakeFleet(clock);
    fleet.server(8081).gpuGib = fleet.server(8081).budgetGib * 1.2;
    expect(
      memoryBar(fleet.box())
        .segments.filter(({ overBudget }) => overBudget)
        .map(({ key }) => key),
    ).toEqual(["8081"]);
  });

  it("covers all cards of the box, as does the servers' memory", () => {
    const box = new FakeFleet(clock).box();
    const single = memoryBar(box);
    const [card] = box.gpus ?? [];
    if (card === undefined) throw new Error("the box has a card");
    const both = memoryBar({ ...box, gpus: [card, { ...card, memoryUsedGib: 2, memoryTotalGib: 16 }] });
    expect(both.cardGib).toBe(single.cardGib + 16);
    expect(both.usedGib).toBeCloseTo((single.usedGib ?? 0) + 2);
    expect(both.segments.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo((both.usedGib ?? 0) / 40, 3);
  });

  it("is unknown before the first report", () => {
    expect(memoryBar(newFleet(clock).box()).text).toBe("unknown; 23.1 GiB planned of 24.0 GiB");
  });
});
