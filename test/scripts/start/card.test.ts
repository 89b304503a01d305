import { expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import { cardOf, loadMs, type CardServer } from "../../../scripts/start/card.ts";
import { gpuMemoryGib } from "../../../shared/gpu-memory.ts";

const [box] = fleet.boxes;
if (box === undefined) throw new Error("the fleet file has a box");

const running = (busySlots: number, loaded = 1): CardServer[] =>
  box.servers.map((server, at) => ({ server, pid: 100 + at, loaded, busySlots }));

it("has each running server's memory as the fleet file plans it, and nothing of others", () => {
  const [first] = box.servers;
  if (first === undefined) throw new Error("the box has a server");
  const { switches } = cardOf(box, running(0).slice(0, 1), null);
  expect(switches.processes).toEqual([
    { pid: 100, memoryMiB: Math.round(gpuMemoryGib(first).total * 1_024) },
  ]);
  expect(switches.gpus).toMatchObject([{ name: box.gpu, memoryTotalMiB: 24_576 }]);
});

it("shows a server that loads with less, and a larger one as longer to load", () => {
  const memory = (loaded: number): number =>
    cardOf(box, running(0, loaded), null).switches.processes[1]?.memoryMiB ?? 0;
  expect(memory(0)).toBeLessThan(memory(0.5));
  expect(memory(0.5)).toBeLessThan(memory(1));
  expect(loadMs({ weightsGib: 6 })).toBeGreaterThan(loadMs({ weightsGib: 1 }));
});

it("is busier, hotter and hungrier the more slots are in use, within the card's limits", () => {
  const [idle, one, all] = [running(0), running(1).slice(0, 1), running(2)].map(
    (servers) => cardOf(box, servers, null).switches.gpus[0],
  );
  if (idle === undefined || one === undefined || all === undefined) throw new Error("no card");
  expect(idle.utilization).toBe(0);
  for (const figure of ["utilization", "temperature", "powerDraw"] as const) {
    expect(one[figure]).toBeGreaterThan(idle[figure]);
    expect(all[figure]).toBeGreaterThan(one[figure]);
  }
  expect(all.utilization).toBeLessThanOrEqual(100);
  expect(all.powerDraw).toBeLessThan(all.powerLimit);
});

it("warms up and cools down slowly", () => {
  const { celsius } = cardOf(box, running(2), 41);
  expect(celsius).toBeGreaterThan(41);
  expect(celsius).toBeLessThan(45);
  expect(cardOf(box, running(0), 60).celsius).toBeLessThan(60);
});
