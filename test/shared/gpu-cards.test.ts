// A box's cards as one: sums, the hottest, the mean of those that say.
import { describe, expect, it } from "vitest";
import { allCards } from "../../shared/gpu-cards.ts";
import type { LinkGpu } from "../../shared/wire.ts";

const CARD: LinkGpu = {
  name: "a card",
  memoryUsedGib: 10,
  memoryTotalGib: 24,
  utilizationPercent: 80,
  temperatureC: 60,
  powerWatts: 200,
};

const SILENT: LinkGpu = {
  name: null,
  memoryUsedGib: null,
  memoryTotalGib: null,
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
};

const { name: _name, ...NOTHING } = SILENT;

describe("the cards of a box together", () => {
  it("have the memory and the power of all, the temperature of the hottest and the mean utilisation", () => {
    const other = { ...CARD, memoryUsedGib: 4, memoryTotalGib: 16, utilizationPercent: 20, temperatureC: 71 };
    expect(allCards([CARD, { ...other, powerWatts: 50 }])).toEqual({
      memoryUsedGib: 14,
      memoryTotalGib: 40,
      utilizationPercent: 50,
      temperatureC: 71,
      powerWatts: 250,
    });
  });

  it("of which one doesn't say have what the others say", () => {
    const { name: _, ...said } = CARD;
    expect(allCards([SILENT, CARD])).toEqual(said);
  });

  it.each<[string, LinkGpu[] | null]>([
    ["none of which says anything", [SILENT, SILENT]],
    ["of which there are none", []],
    ["that nothing answers for", null],
  ])("%s have nothing known, never 0", (_, gpus) => {
    expect(allCards(gpus)).toEqual(NOTHING);
  });

  it("that are idle have 0", () => {
    expect(allCards([{ ...CARD, utilizationPercent: 0, powerWatts: 0 }])).toMatchObject({
      utilizationPercent: 0,
      powerWatts: 0,
    });
  });
});
