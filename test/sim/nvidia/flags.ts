// nvidia-smi's command line, and its words for what it doesn't know.

export interface Query {
  kind: "gpu" | "apps" | "list" | "overview";
  fields: string[];
  header: boolean;
  units: boolean;
  /** Milliseconds between reports; null is one report. */
  everyMs: number | null;
}

/** A command line or field that the real program refuses, with the status it ends with. */
export class SmiError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

const GPU_FIELDS = new Set([
  "timestamp",
  "index",
  "name",
  "uuid",
  "driver_version",
  "persistence_mode",
  "memory.total",
  "memory.used",
  "memory.free",
  "utilization.gpu",
  "utilization.memory",
  "temperature.gpu",
  "power.draw",
  "power.limit",
  "fan.speed",
  "clocks.sm",
  "pstate",
]);

const APP_FIELDS = new Set([
  "timestamp",
  "gpu_uuid",
  "pid",
  "process_name",
  "used_memory",
  "used_gpu_memory",
]);

/** Other spellings the real program takes for a field. */
const SYNONYMS: Record<string, string> = {
  gpu_name: "name",
  gpu_uuid: "uuid",
  "clocks.current.sm": "clocks.sm",
  name: "process_name",
};

export function readFlags(args: readonly string[]): Query {
  const query: Query = { kind: "overview", fields: [], header: true, units: true, everyMs: null };
  for (let at = 0; at < args.length; at += 1) {
    const [name = "", value] = (args[at] ?? "").split("=", 2);
    if (name === "-l" || name === "--loop" || name === "-lms" || name === "--loop-ms") {
      const given = value ?? args[(at += 1)];
      query.everyMs = interval(name, given);
    } else if (name === "--query-gpu" || name === "--query-compute-apps") {
      query.kind = name === "--query-gpu" ? "gpu" : "apps";
      query.fields = fields(query.kind, value ?? "");
    } else if (name === "-L" || name === "--list-gpus") {
      query.kind = "list";
    } else if (name === "--format") {
      readFormat(query, value ?? "");
    } else if (name !== "--id" && name !== "-i") {
      throw new SmiError(`Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n`, 1);
    } else if (value === undefined) at += 1;
  }
  return query;
}

function fields(kind: "gpu" | "apps", list: string): string[] {
  const known = kind === "gpu" ? GPU_FIELDS : APP_FIELDS;
  return list.split(",").map((given) => {
    const field = given.trim();
    const synonym = SYNONYMS[field];
    if (known.has(field)) return field;
    if (synonym !== undefined && known.has(synonym)) return synonym;
    throw new SmiError(`Field "${field}" is not a valid field to query.\n`, 2);
  });
}

function readFormat(query: Query, value: string): void {
  const options = value.split(",").map((option) => option.trim());
  if (!options.includes("csv")) throw new SmiError('"--format=" switch is missing csv.\n', 1);
  query.header = !options.includes("noheader");
  query.units = !options.includes("nounits");
}

function interval(name: string, value: string | undefined): number {
  const number = Number(value);
  if (value === undefined || !Number.isInteger(number) || number <= 0) {
    throw new SmiError(`Option ${name} is not recognized. Please run 'nvidia-smi -h'.\n`, 1);
  }
  return name.includes("ms") ? number : number * 1_000;
}
