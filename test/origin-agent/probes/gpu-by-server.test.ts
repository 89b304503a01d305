import { describe, expect, it } from "vitest";
import type { Gpu, GpuProcess } from "../../../origin-agent/probes/gpu-csv.ts";
import { gpuMemoryByServer, type GpuMemoryInput } from "../../../origin-agent/probes/gpu-by-server.ts";

const gib = (mib: number | null): number | null => (mib === null ? null : mib / 1_024);

const card = (usedMib: number | null, uuid = "GPU-1"): Gpu => ({
  index: 0,
  uuid,
  name: null,
  memoryTotalGib: 24,
  memoryUsedGib: gib(usedMib),
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
});

const process = (pid: number, memoryMib: number | null, gpuUuid = "GPU-1"): GpuProcess => ({
  pid,
  memoryGib: gib(memoryMib),
  gpuUuid,
});

const SERVERS = new Map<string, number | null>([
  ["llama-a", 10],
  ["llama-b", 20],
  ["llama-stopped", null],
]);

const memory = (input: Partial<GpuMemoryInput>): Record<string, number | null> =>
  Object.fromEntries(
    gpuMemoryByServer({ gpus: [card(0)], processes: [], servers: SERVERS, parents: new Map(), ...input }),
  );

describe("GPU memory by server", () => {
  it("is the memory of its process, in GiB, and unknown if it isn't running", () => {
    expect(memory({ gpus: [card(8_204)], processes: [process(10, 6_144), process(20, 2_048)] })).toEqual({
      "llama-a": 6,
      "llama-b": 2,
      "llama-stopped": null,
    });
  });

  it("is the sum over all cards", () => {
    const gpus = [card(3_084), card(3_084, "GPU-2")];
    const processes = [process(10, 3_072), process(10, 3_072, "GPU-2")];
    expect(memory({ gpus, processes })).toMatchObject({ "llama-a": 6, "llama-b": 0 });
  });

  it("includes processes started by PM2's process, which may be a shell or filter", () => {
    const parents = new Map([
      [777, 76],
      [76, 10],
      [10, 1],
    ]);
    expect(memory({ gpus: [card(6_156)], processes: [process(777, 6_144)], parents })).toMatchObject({
      "llama-a": 6,
      "llama-b": 0,
    });
  });

  it.each<[string, Partial<GpuMemoryInput>, number | null]>([
    ["is 0 if the card is empty", {}, 0],
    ["is 0 if only the driver uses memory", { gpus: [card(400)] }, 0],
    ["is unknown if the card has memory in use by no listed process", { gpus: [card(7_000)] }, null],
    [
      "is unknown if a process of no server is listed: it may be a child of one",
      { gpus: [card(6_156)], processes: [process(999, 6_144)] },
      null,
    ],
    [
      "is unknown if another process's memory is unknown",
      { gpus: [card(12)], processes: [process(20, null)] },
      null,
    ],
    ["is unknown if the memory used on the card is unknown", { gpus: [card(null)] }, null],
    ["is unknown if the cards are unknown", { gpus: null }, null],
    ["is unknown if there is no card", { gpus: [] }, null],
    ["is unknown if the processes are unknown", { processes: null }, null],
    ["is unknown if its process has no figure", { processes: [process(10, null)] }, null],
    [
      "is unknown if it is known on only one of two cards",
      { processes: [process(10, 3_072), process(10, null, "GPU-2")] },
      null,
    ],
  ])("%s", (_, input, expected) => {
    expect(memory(input)["llama-a"]).toBe(expected);
  });

  it("ends on parents that form a cycle", () => {
    const parents = new Map([
      [5, 6],
      [6, 5],
    ]);
    expect(memory({ gpus: [card(100)], processes: [process(5, 100)], parents })["llama-a"]).toBe(null);
  });
});
