// Reads the CPU time of a process: from /proc where there is one, else (macOS) from `ps`.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Ticks of /proc's times in a second: fixed at 100 in Linux's interface to programs, whatever the kernel's own. */
const TICKS_PER_SECOND = 100;
const HAS_PROC = existsSync("/proc/self/stat");

/**
 * User and system time of a process, seconds, those of all its threads; its children's don't count.
 * @throws Error if it has ended
 */
export function cpuSeconds(pid: number): number {
  if (HAS_PROC) return parseStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
  return parsePsTime(execFileSync("ps", ["-o", "cputime=", "-p", String(pid)], { encoding: "utf8" }));
}

/**
 * CPU time of a process's main thread, seconds; null if the system doesn't count threads. The main thread of Node and of
 * workerd runs the JavaScript; the others compile, collect garbage and hash.
 */
export function mainThreadSeconds(pid: number): number | null {
  return HAS_PROC ? parseStat(readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8")) : null;
}

/**
 * CPU time of the living threads of a process, seconds, to the nanosecond: for a process that is almost idle. Falls back
 * to `cpuSeconds` on a system without scheduler statistics.
 */
export function exactCpuSeconds(pid: number): number {
  const threads = `/proc/${pid}/task`;
  if (!existsSync(`${threads}/${pid}/schedstat`)) return cpuSeconds(pid);
  const spent = readdirSync(threads).map((id) => readFileSync(`${threads}/${id}/schedstat`, "utf8"));
  return spent.reduce((sum, text) => sum + Number(text.split(" ", 1)[0]), 0) / 1e9;
}

/** CPU time of a process and of all its descendants, seconds: nginx and uvicorn work in children. */
export function treeCpuSeconds(pid: number): number {
  return descendants(pid).reduce((sum, id) => sum + secondsOrNone(id), cpuSeconds(pid));
}

/** 0 for a process that has exited since it was listed. */
function secondsOrNone(pid: number): number {
  try {
    return cpuSeconds(pid);
  } catch {
    return 0;
  }
}

function descendants(pid: number): number[] {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((row) => row.trim().split(/\s+/).map(Number));
  const below = (parent: number): number[] =>
    rows.flatMap(([id = 0, ppid = 0]) => (ppid === parent ? [id, ...below(id)] : []));
  return below(pid);
}

/** Reads `/proc/PID/stat`. The command, its second field, stands in parentheses and may itself hold some, and spaces. */
export function parseStat(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // utime and stime, the 14th and 15th of all.
  const [user = Number.NaN, system = Number.NaN] = fields.slice(11, 13).map(Number);
  return (user + system) / TICKS_PER_SECOND;
}

/** Reads `ps -o cputime=`: `[[days-]hours:]minutes:seconds[.hundredths]`. */
export function parsePsTime(text: string): number {
  const [clock = "", days = "0"] = text.trim().split("-").reverse();
  return Number(days) * 86_400 + clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
}
