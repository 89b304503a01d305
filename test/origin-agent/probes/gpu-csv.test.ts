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
  memoryTotalGib: 24,
  memoryUsedGib: 12 / 1_024,
  utilizationPercent: 0,
  temperatureC: 41,
  powerWatts: 28.41,
};
const UNKNOWN: Gpu = {
  index: 1,
  uuid: null,
  name: null,
  memoryTotalGib: null,
  memoryUsedGib: null,
  utilizationPercent: null,
  temperatureC: null,
  powerWatts: null,
};

describe("a card's line", () => {
  it.each<[string, string, Gpu | null]>([
    ["complete", "0, GPU-1, 24576, 12, 0, 41, 28.41, NVIDIA GeForce RTX 3090", CARD],
    [
      "a name with a comma",
      "0, GPU-1, 24576, 12, 0, 41, 28.41, NVIDIA X, revised",
      { ...CARD, name: "NVIDIA X, revised" },
    ],
    ["[N/A]: unknown, never 0", `1${", [N/A]".repeat(7)}`, UNKNOWN],
    ["[Not Supported]: unknown", `1${", [Not Supported]".repeat(7)}`, UNKNOWN],
    [
      "any other text in place of a figure: unknown",
      "1, N/A, ERR!, [GPU requires reset], [Unknown Error], , nan, [N/A]",
      UNKNOWN,
    ],
    ["implausible figures: unknown", "1, [N/A], 99999999, -5, 101, 5000, 1e9, [N/A]", UNKNOWN],
    ["a hexadecimal figure: unknown", `1${", [N/A]".repeat(5)}, 0x20, [N/A]`, UNKNOWN],
    ["an incomplete line", "0, GPU-1, 24576, 12, 0, 41", null],
    ["no index", "[N/A], GPU-1, 24576, 12, 0, 41, 28.41, NVIDIA", null],
    ["an invalid index", "1.5, GPU-1, 24576, 12, 0, 41, 28.41, NVIDIA", null],
    ["an error text", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", null],
    ["an empty line", "", null],
  ])("%s", (_, line, gpu) => {
    expect(readGpuLine(line)).toEqual(gpu);
  });
});

describe("a process's line", () => {
  it.each<[string, string, GpuProcess | "none" | null]>([
    ["complete", "4242, 6100, GPU-1", { pid: 4_242, memoryGib: 6_100 / 1_024, gpuUuid: "GPU-1" }],
    ["unknown memory", "4242, [N/A], GPU-1", { pid: 4_242, memoryGib: null, gpuUuid: "GPU-1" }],
    ["unknown card", "4242, 0, [N/A]", { pid: 4_242, memoryGib: 0, gpuUuid: null }],
    ["unknown pid", "[N/A], 6100, GPU-1", null],
    ["pid 0", "0, 6100, GPU-1", null],
    ["incomplete", "4242, 61", null],
    ["a text: there is none", "[No running processes found]", "none"],
    ["a header", "pid, used_gpu_memory [MiB], gpu_uuid", null],
  ])("%s", (_, line, process) => {
    expect(readProcessLine(line)).toEqual(process);
  });
});

it.each(SEEDS)("no line throws or yields an invalid figure (seed %i)", (seed) => {
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
