// Prints as nvidia-smi does: CSV with its units and its spelling of headers, and the table for people.
import { usedMiB, uuidOf } from "./box.ts";
import type { Box, Gpu } from "./box.ts";
import type { Query } from "./flags.ts";

/** A field's unit as the header and the values carry it. */
const UNITS: Record<string, string> = {
  "memory.total": "MiB",
  "memory.used": "MiB",
  "memory.free": "MiB",
  used_memory: "MiB",
  used_gpu_memory: "MiB",
  "utilization.gpu": "%",
  "utilization.memory": "%",
  "power.draw": "W",
  "power.limit": "W",
  "fan.speed": "%",
  "clocks.sm": "MHz",
};

/** Fields whose header is spelled otherwise than the query. */
const HEADERS: Record<string, string> = {
  "clocks.sm": "clocks.current.sm",
  used_memory: "used_gpu_memory",
};

export const csvHeader = (query: Query): string =>
  query.fields
    .map((field) => {
      const unit = UNITS[field];
      return (HEADERS[field] ?? field) + (unit === undefined ? "" : ` [${unit}]`);
    })
    .join(", ");

/** One line a GPU, or one a process. */
export function csvRows(query: Query, box: Box, now: Date): string[] {
  const show = (field: string, value: string | number | null): string => {
    if (value === null) return "[N/A]";
    const unit = UNITS[field];
    const text = field.startsWith("power.") ? Number(value).toFixed(2) : String(value);
    return unit !== undefined && query.units ? `${text} ${unit}` : text;
  };
  const rows =
    query.kind === "gpu" ? box.gpus.map((gpu, at) => gpuRow(gpu, at, box, now)) : appRows(box, now);
  return rows.map((row) => query.fields.map((field) => show(field, row[field] ?? null)).join(", "));
}

type Row = Record<string, string | number | null>;

function gpuRow(gpu: Gpu, index: number, box: Box, now: Date): Row {
  const used = usedMiB(box, index);
  const { memoryTotalMiB: total } = gpu;
  return {
    timestamp: timestamp(now),
    index,
    name: gpu.name,
    uuid: uuidOf(gpu, index),
    driver_version: box.driver,
    persistence_mode: gpu.persistenceMode ? "Enabled" : "Disabled",
    "memory.total": total,
    "memory.used": used,
    "memory.free": used === null || total === null ? null : total - used,
    "utilization.gpu": gpu.utilization,
    "utilization.memory": gpu.memoryUtilization,
    "temperature.gpu": gpu.temperature,
    "power.draw": gpu.powerDraw,
    "power.limit": gpu.powerLimit,
    "fan.speed": gpu.fan,
    "clocks.sm": gpu.clocksSm,
    pstate: gpu.pstate,
  };
}

const appRows = (box: Box, now: Date): Row[] =>
  box.processes.flatMap((process) => {
    const gpu = box.gpus[process.gpu];
    if (!gpu) return [];
    return {
      timestamp: timestamp(now),
      gpu_uuid: uuidOf(gpu, process.gpu),
      pid: process.pid,
      process_name: process.name,
      used_memory: process.memoryMiB,
      used_gpu_memory: process.memoryMiB,
    };
  });

/** `2025/01/31 09:05:07.123`, local time. */
function timestamp(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`;
  const time = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(":");
  return `${day} ${time}.${String(now.getMilliseconds()).padStart(3, "0")}`;
}

/** The cards, as `-L` lists them: `GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-…)`. */
export const list = (box: Box): string =>
  box.gpus.map((gpu, at) => `GPU ${at}: ${gpu.name} (UUID: ${uuidOf(gpu, at)})\n`).join("");

const WIDTH = 91;
const RULE = `+${"-".repeat(41)}+${"-".repeat(24)}+${"-".repeat(22)}+\n`;

/** The table without arguments. */
export function overview(box: Box, now: Date): string {
  const line = (text: string): string => `|${text.padEnd(WIDTH - 2)}|\n`;
  const full = `+${"-".repeat(WIDTH - 2)}+\n`;
  const head =
    `${now.toString().slice(0, 24)}\n${full}` +
    line(` NVIDIA-SMI ${box.driver.padEnd(23)}Driver Version: ${box.driver.padEnd(15)}CUDA Version: 12.8`) +
    `|${RULE.slice(1)}` +
    "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n" +
    "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n" +
    `|${"=".repeat(41)}+${"=".repeat(24)}+${"=".repeat(22)}|\n`;
  const gpus = box.gpus.map((gpu, at) => overviewGpu(gpu, at, box)).join("");
  const apps = box.processes.map((app) => {
    const memory = app.memoryMiB === null ? "N/A" : `${app.memoryMiB}MiB`;
    return line(
      `  ${String(app.gpu).padStart(3)}   N/A  N/A ${String(app.pid).padStart(15)}      C   ` +
        `${app.name.slice(0, 37).padEnd(37)}${memory.padStart(9)} `,
    );
  });
  return (
    `${head}${gpus}\n${full}` +
    line(" Processes:") +
    line("  GPU   GI   CI              PID   Type   Process name                        GPU Memory ") +
    line("        ID   ID                                                               Usage      ") +
    `|${"=".repeat(WIDTH - 2)}|\n` +
    (apps.length > 0 ? apps.join("") : line("  No running processes found")) +
    full
  );
}

function overviewGpu(gpu: Gpu, index: number, box: Box): string {
  const or = (value: string | number | null, unit: string): string =>
    value === null ? "N/A" : `${value}${unit}`;
  const power = `${or(gpu.powerDraw === null ? null : Math.round(gpu.powerDraw), "W")} / ${or(gpu.powerLimit, "W")}`;
  const memory = `${or(usedMiB(box, index), "MiB")} / ${or(gpu.memoryTotalMiB, "MiB")}`;
  const bus = `00000000:${String(index + 1).padStart(2, "0")}:00.0 Off`;
  const left = `${or(gpu.fan, "%").padStart(4)}${or(gpu.temperature, "C").padStart(6)}${(gpu.pstate ?? "N/A").padStart(6)}`;
  return (
    `|${String(index).padStart(4)}  ${gpu.name.slice(0, 25).padEnd(25)}${(gpu.persistenceMode ? "On" : "Off").padStart(9)} |  ${bus.padStart(20)}  ` +
    `|                  N/A |\n` +
    `|${left}${power.padStart(24)} |${memory.padStart(23)} |${or(gpu.utilization, "%").padStart(8)}      Default |\n` +
    `|${" ".repeat(41)}|${" ".repeat(24)}|                  N/A |\n${RULE}`
  );
}
