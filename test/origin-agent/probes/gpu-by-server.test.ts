import { describe, expect, it } from "vitest";
import type { Gpu, GpuProcess } from "../../../origin-agent/probes/gpu-csv.ts";
import { gpuMemoryOfServers, type GpuMemoryInput } from "../../../origin-agent/probes/gpu-by-server.ts";

const card = (memoryUsedMib: number | null, uuid = "GPU-1"): Gpu => ({
  index: 0,
  uuid,
  name: null,
  memoryTotalMib: 24_576,
  memoryUsedMib,
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
  powerLimitWatts: null,
});

const held = (pid: number, memoryMib: number | null, gpuUuid = "GPU-1"): GpuProcess => ({
  pid,
  memoryMib,
  gpuUuid,
});

const SERVERS = new Map<string, number | null>([
  ["llama-a", 10],
  ["llama-b", 20],
  ["llama-stopped", null],
]);

const memory = (input: Partial<GpuMemoryInput>): Record<string, number | null> =>
  Object.fromEntries(
    gpuMemoryOfServers({ gpus: [card(0)], processes: [], servers: SERVERS, parents: new Map(), ...input }),
  );

describe("GPU memory by server", () => {
  it("is its process's, in GiB; of one that doesn't run it can't be told", () => {
    expect(memory({ gpus: [card(8_204)], processes: [held(10, 6_144), held(20, 2_048)] })).toEqual({
      "llama-a": 6,
      "llama-b": 2,
      "llama-stopped": null,
    });
  });

  it("is the sum over cards", () => {
    const gpus = [card(3_084), card(3_084, "GPU-2")];
    const processes = [held(10, 3_072), held(10, 3_072, "GPU-2")];
    expect(memory({ gpus, processes })).toMatchObject({ "llama-a": 6, "llama-b": 0 });
  });

  it("is that of the process's family: PM2 may have started a shell or filter", () => {
    const parents = new Map([
      [777, 76],
      [76, 10],
      [10, 1],
    ]);
    expect(memory({ gpus: [card(6_156)], processes: [held(777, 6_144)], parents })).toMatchObject({
      "llama-a": 6,
      "llama-b": 0,
    });
  });

  it.each<[string, Partial<GpuMemoryInput>, number | null]>([
    ["nothing on an empty card is nothing", {}, 0],
    ["what the driver keeps for itself is nobody's", { gpus: [card(400)] }, 0],
    ["nothing, where the card is full of what nobody lists", { gpus: [card(7_000)] }, null],
    [
      "nothing, where a stranger's process is listed: it may be a child of ours",
      { gpus: [card(6_156)], processes: [held(999, 6_144)] },
      null,
    ],
    [
      "nothing, where another's memory can't be told",
      { gpus: [card(12)], processes: [held(20, null)] },
      null,
    ],
    ["nothing, where the card's own figure is unknown", { gpus: [card(null)] }, null],
    ["nothing, where the cards are unknown", { gpus: null }, null],
    ["nothing, where there is no card", { gpus: [] }, null],
    ["nothing, where the processes are unknown", { processes: null }, null],
    ["a listed process without a figure", { processes: [held(10, null)] }, null],
    [
      "one card's figure known, the other's not",
      { processes: [held(10, 3_072), held(10, null, "GPU-2")] },
      null,
    ],
  ])("%s", (_, input, gib) => {
    expect(memory(input)["llama-a"]).toBe(gib);
  });

  it("ends on parents that run in a circle", () => {
    const parents = new Map([
      [5, 6],
      [6, 5],
    ]);
    expect(memory({ gpus: [card(100)], processes: [held(5, 100)], parents })["llama-a"]).toBe(null);
  });
});
