// Reads the CPU time of a process: from /proc where there is one, else (macOS) from `ps`.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

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
