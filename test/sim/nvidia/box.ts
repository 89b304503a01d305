// The GPUs of the simulated box: an RTX 3090 unless the switches say otherwise. A value that the driver can't
// tell is null, shown as `[N/A]`.
import { readFileSync } from "node:fs";
import { z } from "zod";

const number = z.number().nullable();

const gpuSchema = z.strictObject({
  name: z.string().default("NVIDIA GeForce RTX 3090"),
  uuid: z.string().nullable().default(null),
  memoryTotalMiB: number.default(24_576),
  /** Null here is `[N/A]`; left out, it is the sum of the processes and what the driver holds. */
  memoryUsedMiB: number.optional(),
  utilization: number.default(0),
  memoryUtilization: number.default(0),
  temperature: number.default(41),
  powerDraw: number.default(28.41),
  powerLimit: number.default(350),
  fan: number.default(30),
  clocksSm: number.default(210),
  pstate: z.string().nullable().default("P8"),
  persistenceMode: z.boolean().default(false),
});

const processSchema = z.strictObject({
  pid: z.int().positive(),
  name: z.string().default("/usr/local/bin/llama-server"),
  memoryMiB: number.default(6_800),
  /** Index of the GPU it runs on. */
  gpu: z.int().min(0).default(0),
});

const boxSchema = z.strictObject({
  gpus: z.array(gpuSchema).default([gpuSchema.parse({})]),
  processes: z.array(processSchema).default([]),
  driver: z.string().default("570.153.02"),
  /** Printed instead of any report; then the process ends with `exitCode`. */
  error: z.string().nullable().default(null),
  /** Says the driver is gone, in the real program's words, and ends with 9. */
  noDriver: z.boolean().default(false),
  /** Prints nothing and never ends. */
  hang: z.boolean().default(false),
  exitAfterLines: z.int().min(0).nullable().default(null),
  exitCode: z.int().min(0).max(255).default(0),
});

export type Box = z.infer<typeof boxSchema>;
export type Gpu = Box["gpus"][number];

/** Memory the driver holds without any process, in MiB. */
const IDLE_MIB = 12;

const NO_DRIVER =
  "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. " +
  "Make sure that the latest NVIDIA driver is installed and running.\n";

/** The program can't report; it says why and ends. */
export class NotAnswering extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Reads the switches: nothing is an idle box. Throws `NotAnswering` if they require it. */
export function readBox(switches: string | undefined): Box {
  const text = switches?.trim() ?? "";
  const box = text === "" || text.startsWith("{") ? parse(text || "{}") : fromFile(text);
  if (box.noDriver) throw new NotAnswering(NO_DRIVER, 9);
  if (box.error !== null) throw new NotAnswering(box.error, box.exitCode === 0 ? 1 : box.exitCode);
  return box;
}

const parse = (json: string): Box => boxSchema.parse(JSON.parse(json));

let lastRead: Box | null = null;

/** A file that is just being written is taken as it was before. */
function fromFile(path: string): Box {
  try {
    lastRead = parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError) || lastRead === null) throw error;
  }
  return lastRead;
}

export function usedMiB(box: Box, index: number): number | null {
  const gpu = box.gpus[index];
  if (gpu?.memoryUsedMiB !== undefined) return gpu.memoryUsedMiB;
  return box.processes.reduce((sum, p) => (p.gpu === index ? sum + (p.memoryMiB ?? 0) : sum), IDLE_MIB);
}

/** A GPU's id; derived from its index if the switches give none. */
export const uuidOf = (gpu: Gpu, index: number): string =>
  gpu.uuid ?? `GPU-${String(index).padStart(8, "0")}-5a1d-4b7e-9c3f-0123456789ab`;
