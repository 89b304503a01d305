// Parses nvidia-smi's CSV output line by line, and names the fields to query. Pure.
// A figure that the driver can't report (`[N/A]`, `[Not Supported]`, an error text) is null, never 0.
import type { LinkGpu } from "../../shared/wire.ts";

/** The name is last: it is the only field that could contain a comma. */
const GPU_FIELDS = "index,uuid,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,name";
const PROCESS_FIELDS = "pid,used_memory,gpu_uuid";
const FORMAT = "--format=csv,noheader,nounits";

export const GPU_QUERY: readonly string[] = [`--query-gpu=${GPU_FIELDS}`, FORMAT];
export const PROCESS_QUERY: readonly string[] = [`--query-compute-apps=${PROCESS_FIELDS}`, FORMAT];

/** A card as the wire has it, not rounded, with what identifies it on this box. */
export interface Gpu extends Readonly<LinkGpu> {
  readonly index: number;
  readonly uuid: string | null;
}

/** One process on one card; a model that is split over two cards has two of these. */
export interface GpuProcess {
  readonly pid: number;
  readonly memoryGib: number | null;
  readonly gpuUuid: string | null;
}

/** Limits of plausible figures; the driver made an error in a figure above them, so it counts as unknown. */
const MAX_MIB = 4 * 1024 * 1024;
const MAX_WATTS = 10_000;
const MAX_DEGREES = 200;
const MAX_GPUS = 64;

/** Parses a card's line; null if it is anything else: an error text, an incomplete line, noise. */
export function readGpuLine(line: string): Gpu | null {
  const [indexText, uuid, total, used, utilization, temperature, power, ...name] = fieldsOf(line);
  const index = figure(indexText, MAX_GPUS);
  if (index === null || !Number.isInteger(index) || name.length === 0) return null;
  return {
    index,
    uuid: text(uuid),
    name: text(name.join(", ")),
    memoryTotalGib: gib(total),
    memoryUsedGib: gib(used),
    utilizationPercent: figure(utilization, 100),
    temperatureC: figure(temperature, MAX_DEGREES),
    powerWatts: figure(power, MAX_WATTS),
  };
}

/** Parses a process's line; `none` if the driver reports that there is no process, null if it is anything else. */
export function readProcessLine(line: string): GpuProcess | "none" | null {
  if (/^\W*no running (compute )?processes found\W*$/i.test(line)) return "none";
  const fields = fieldsOf(line);
  const [pidText, memory, uuid] = fields;
  const pid = figure(pidText, 2 ** 31);
  if (fields.length !== 3 || pid === null || !Number.isInteger(pid) || pid === 0) return null;
  return { pid, memoryGib: gib(memory), gpuUuid: text(uuid) };
}

const fieldsOf = (line: string): string[] => line.split(",").map((field) => field.trim());

/** A plain number from 0 to `max`; anything else is unknown. */
function figure(field: string | undefined, max: number): number | null {
  if (field === undefined || !/^\d{1,12}(\.\d{1,6})?$/.test(field)) return null;
  const value = Number(field);
  return value <= max ? value : null;
}

const MIB_PER_GIB = 1_024;

/** nvidia-smi reports memory in MiB. */
function gib(field: string | undefined): number | null {
  const mib = figure(field, MAX_MIB);
  return mib === null ? null : mib / MIB_PER_GIB;
}

const MAX_TEXT_LENGTH = 128;

/** A field's text, unless it stands for "unknown". */
const text = (field: string | undefined): string | null =>
  field === undefined || field === "" || /^\[.*\]$|^N\/A$|^ERR!$/i.test(field)
    ? null
    : field.slice(0, MAX_TEXT_LENGTH);
