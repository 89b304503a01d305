// Names a process for good and says later whether it still runs: the machine's boot, the process's id, and when it
// started. A process id alone comes round again; a name of these three never does.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const EPOCH = /^([0-9a-f]{8})-(\d{1,10})-(\d{1,20})$/;

/** The epoch of a process of this machine: boot, process id, start. */
export function epochOf(pid: number): string | null {
  const started = startOf(pid);
  return started === null ? null : `${bootName()}-${pid}-${started}`;
}

/** The epoch of this very process. */
export function ownEpoch(): string {
  const epoch = epochOf(process.pid);
  if (epoch === null) throw new Error("the system doesn't say when this process started (no /proc, no ps)");
  return epoch;
}

/**
 * Whether the process that an epoch names still runs. Right while two agents live side by side during a reload, and
 * for a process id that has been given to another since. Both must see the same processes: not from one container
 * about another.
 */
export function isEpochAlive(epoch: string): boolean {
  const [, boot, pid] = EPOCH.exec(epoch) ?? [];
  if (boot === undefined) return false;
  try {
    return boot === bootName() && epochOf(Number(pid)) === epoch;
  } catch {
    // The system didn't say (no file handle was free, for one): a journal is left alone rather than taken twice.
    return true;
  }
}

/** When a process started, in the system's own unit; null for one that is gone or only waits to be reaped. */
function startOf(pid: number): string | null {
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === null) return hasProc() ? null : startByPs(pid);
  // The name, in parentheses, may hold anything; state is the first field after it, start time the twentieth.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

/** Where there is no /proc: to the second, which is as fine as ps tells. */
function startByPs(pid: number): string | null {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
    });
    const started = Date.parse(`${text.trim()} UTC`);
    return Number.isNaN(started) ? null : String(started / 1000);
  } catch {
    return null;
  }
}

function bootName(): string {
  return (textOf("/proc/sys/kernel/random/boot_id") ?? "00000000").slice(0, 8);
}

const hasProc = (): boolean => textOf("/proc/self/stat") !== null;

/** Null where there is no such file; what can't be read for another reason throws. */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR") return null;
    throw error;
  }
}
