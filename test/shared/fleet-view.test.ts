// A box's cards as one reading: sums, the hottest card, the mean of the known figures.
import { describe, expect, it } from "vitest";
import { allCards } from "../../shared/fleet-view.ts";
import type { LinkGpu } from "../../shared/wire.ts";

const CARD: LinkGpu = {
  name: "a card",
  memoryUsedGib: 10,
  memoryTotalGib: 24,
  utilizationPercent: 80,
  temperatureC: 60,
  powerWatts: 200,
};

const UNKNOWN_CARD: LinkGpu = {
  name: null,
  memoryUsedGib: null,
  memoryTotalGib: null,
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
};

const { name: _name, ...UNKNOWN } = UNKNOWN_CARD;

describe("the cards of a box together", () => {
  it("have the memory and power of all, the temperature of the hottest and the mean utilisation", () => {
    const other = { ...CARD, memoryUsedGib: 4, memoryTotalGib: 16, utilizationPercent: 20, temperatureC: 71 };
    expect(allCards([CARD, { ...other, powerWatts: 50 }])).toEqual({
      memoryUsedGib: 14,
      memoryTotalGib: 40,
      utilizationPercent: 50,
      temperatureC: 71,
      powerWatts: 250,
    });
  });

  it("have the known figures if one card has none", () => {
    const { name: _, ...reading } = CARD;
    expect(allCards([UNKNOWN_CARD, CARD])).toEqual(reading);
  });

  it.each<[string, LinkGpu[] | null]>([
    ["without any figures", [UNKNOWN_CARD, UNKNOWN_CARD]],
    ["of an empty list", []],
    ["without a driver that answers", null],
  ])("%s are unknown, never 0", (_, gpus) => {
    expect(allCards(gpus)).toEqual(UNKNOWN);
  });

  it("have 0 if they are idle", () => {
    expect(allCards([{ ...CARD, utilizationPercent: 0, powerWatts: 0 }])).toMatchObject({
      utilizationPercent: 0,
      powerWatts: 0,
    });
  });
});
