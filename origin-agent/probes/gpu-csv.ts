// What nvidia-smi prints, line by line: which fields are asked for, and what a line of them says. Pure.
// A figure the driver can't tell (`[N/A]`, `[Not Supported]`, an error word) is null, never 0.

/** The name last: it is the one field that could hold a comma. */
const GPU_FIELDS =
  "index,uuid,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,power.limit,name";
const PROCESS_FIELDS = "pid,used_memory,gpu_uuid";
const FORMAT = "--format=csv,noheader,nounits";

export const GPU_QUERY: readonly string[] = [`--query-gpu=${GPU_FIELDS}`, FORMAT];
export const PROCESS_QUERY: readonly string[] = [`--query-compute-apps=${PROCESS_FIELDS}`, FORMAT];

export interface Gpu {
  readonly index: number;
  readonly uuid: string | null;
  readonly name: string | null;
  readonly memoryTotalMib: number | null;
  readonly memoryUsedMib: number | null;
  readonly utilizationPercent: number | null;
  readonly temperatureC: number | null;
  readonly powerWatts: number | null;
  readonly powerLimitWatts: number | null;
}

/** One process on one card; a model over two cards is two of these. */
export interface GpuProcess {
  readonly pid: number;
  readonly memoryMib: number | null;
  readonly gpuUuid: string | null;
}

/** Bounds of what a card can mean; a figure beyond them is an error of the driver's, and unknown. */
const MAX_MIB = 4 * 1024 * 1024;
const MAX_WATTS = 10_000;
const MAX_DEGREES = 200;
const MAX_GPUS = 64;

/** A card's line; null for a line that is none: an error's words, half a line, garbage. */
export function readGpuLine(line: string): Gpu | null {
  const [index, uuid, total, used, utilization, temperature, power, limit, ...name] = fieldsOf(line);
  const at = figure(index, MAX_GPUS);
  if (at === null || !Number.isInteger(at) || name.length === 0) return null;
  return {
    index: at,
    uuid: word(uuid),
    name: word(name.join(", ")),
    memoryTotalMib: figure(total, MAX_MIB),
    memoryUsedMib: figure(used, MAX_MIB),
    utilizationPercent: figure(utilization, 100),
    temperatureC: figure(temperature, MAX_DEGREES),
    powerWatts: figure(power, MAX_WATTS),
    powerLimitWatts: figure(limit, MAX_WATTS),
  };
}

/** A process's line; `none` where the driver says in words that there is none; null for anything else. */
export function readProcessLine(line: string): GpuProcess | "none" | null {
  if (/^\W*no running (compute )?processes found\W*$/i.test(line)) return "none";
  const fields = fieldsOf(line);
  const [pid, memory, uuid] = fields;
  const number = figure(pid, 2 ** 31);
  if (fields.length !== 3 || number === null || !Number.isInteger(number) || number === 0) return null;
  return { pid: number, memoryMib: figure(memory, MAX_MIB), gpuUuid: word(uuid) };
}

const fieldsOf = (line: string): string[] => line.split(",").map((field) => field.trim());

/** A plain number without a sign, up to `most`; anything else is unknown. */
function figure(text: string | undefined, most: number): number | null {
  if (text === undefined || !/^\d{1,12}(\.\d{1,6})?$/.test(text)) return null;
  const value = Number(text);
  return value <= most ? value : null;
}

const LONGEST_WORD = 128;

/** A word, unless it stands for "unknown". */
const word = (text: string | undefined): string | null =>
  text === undefined || text === "" || /^\[.*\]$|^N\/A$|^ERR!$/i.test(text)
    ? null
    : text.slice(0, LONGEST_WORD);
