import { describe, expect, it } from "vitest";
import {
  readGpuLine,
  readProcessLine,
  type Gpu,
  type GpuProcess,
} from "../../../origin-agent/probes/gpu-csv.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

const CARD: Gpu = {
  index: 0,
  uuid: "GPU-1",
  name: "NVIDIA GeForce RTX 3090",
  memoryTotalMib: 24_576,
  memoryUsedMib: 12,
  utilizationPercent: 0,
  temperatureC: 41,
  powerWatts: 28.41,
  powerLimitWatts: 350,
};
const UNKNOWN: Gpu = {
  index: 1,
  uuid: null,
  name: null,
  memoryTotalMib: null,
  memoryUsedMib: null,
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
  powerLimitWatts: null,
};

describe("a card's line", () => {
  it.each<[string, string, Gpu | null]>([
    ["whole", "0, GPU-1, 24576, 12, 0, 41, 28.41, 350.00, NVIDIA GeForce RTX 3090", CARD],
    [
      "a name with a comma",
      "0, GPU-1, 24576, 12, 0, 41, 28.41, 350.00, NVIDIA X, revised",
      { ...CARD, name: "NVIDIA X, revised" },
    ],
    ["[N/A] is unknown, never 0", `1${", [N/A]".repeat(8)}`, UNKNOWN],
    ["[Not Supported] too", `1${", [Not Supported]".repeat(8)}`, UNKNOWN],
    [
      "and every other word in a figure's place",
      "1, [N/A], ERR!, [GPU requires reset], [Unknown Error], N/A, , nan, [N/A]",
      UNKNOWN,
    ],
    ["figures no card has", "1, [N/A], 99999999, -5, 101, 5000, 1e9, 0x20, [N/A]", UNKNOWN],
    ["half a line", "0, GPU-1, 24576, 12, 0, 41", null],
    ["no index", "[N/A], GPU-1, 24576, 12, 0, 41, 28.41, 350.00, NVIDIA", null],
    ["an index that is none", "1.5, GPU-1, 24576, 12, 0, 41, 28.41, 350.00, NVIDIA", null],
    [
      "an error's words",
      "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
      null,
    ],
    ["nothing", "", null],
  ])("%s", (_, line, gpu) => {
    expect(readGpuLine(line)).toEqual(gpu);
  });
});

describe("a process's line", () => {
  it.each<[string, string, GpuProcess | "none" | null]>([
    ["whole", "4242, 6100, GPU-1", { pid: 4_242, memoryMib: 6_100, gpuUuid: "GPU-1" }],
    ["memory unknown", "4242, [N/A], GPU-1", { pid: 4_242, memoryMib: null, gpuUuid: "GPU-1" }],
    ["card unknown", "4242, 0, [N/A]", { pid: 4_242, memoryMib: 0, gpuUuid: null }],
    ["pid unknown", "[N/A], 6100, GPU-1", null],
    ["pid 0", "0, 6100, GPU-1", null],
    ["half", "4242, 61", null],
    ["in words: there is none", "[No running processes found]", "none"],
    ["garbage", "pid, used_gpu_memory [MiB], gpu_uuid", null],
  ])("%s", (_, line, process) => {
    expect(readProcessLine(line)).toEqual(process);
  });
});

it.each(SEEDS)("no line whatever throws, or gives a figure that is none, seed %i", (seed) => {
  const random = new SeededRandom(seed);
  const pieces = ["0", "1", "9", ".", ",", ", ", "-", "e", "[N/A]", "GPU-", "\u0000", "é", " ", "MiB"];
  for (let turn = 0; turn < 2_000; turn += 1) {
    const line = random.text(random.below(30), pieces);
    const figures = [
      ...Object.values(readGpuLine(line) ?? {}),
      ...Object.values(readProcessLine(line) ?? {}),
    ];
    for (const figure of figures) {
      if (typeof figure === "number") expect(Number.isFinite(figure) && figure >= 0).toBe(true);
    }
  }
});
