// Names a process uniquely by the machine's boot, its pid and its start time, and checks whether a named process is
// still running. A pid alone is reused; these three together never are.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const EPOCH = /^([0-9a-f]{8})-(\d{1,10})-(\d{1,20})$/;

/** The epoch of a process of this machine: boot, pid, start time. Null if it isn't running. */
export function epochOf(pid: number): string | null {
  const startTime = startTimeOf(pid);
  return startTime === null ? null : `${bootId()}-${pid}-${startTime}`;
}

/** The epoch of this process. */
export function ownEpoch(): string {
  const epoch = epochOf(process.pid);
  if (epoch === null)
    throw new Error("can't determine when this process started: there is no /proc and no ps");
  return epoch;
}

/**
 * Whether the process of an epoch is running. Correct while two agents run during a reload, and if the pid was reused.
 * Both processes must be in the same pid namespace: it doesn't work from one container for another.
 */
export function isEpochAlive(epoch: string): boolean {
  const [, boot, pid] = EPOCH.exec(epoch) ?? [];
  if (boot === undefined) return false;
  try {
    return boot === bootId() && epochOf(Number(pid)) === epoch;
  } catch {
    // Unknown, e.g. because no file descriptor was free: a journal is left alone rather than adopted while it is in use.
    return true;
  }
}

/** A process's start time in the system's own unit; null if it has exited, even if it isn't reaped yet. */
function startTimeOf(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === null) return hasProc() ? null : startTimeByPs(pid);
  // The name, in parentheses, may contain anything. The state is the first field after it, the start time the twentieth.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

/** For systems without /proc. ps reports the start to the second. */
function startTimeByPs(pid: number): string | null {
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
    });
    const startTime = Date.parse(`${text.trim()} UTC`);
    return Number.isNaN(startTime) ? null : String(startTime / 1000);
  } catch {
    return null;
  }
}

function bootId(): string {
  return (readText("/proc/sys/kernel/random/boot_id") ?? "00000000").slice(0, 8);
}

const hasProc = (): boolean => readText("/proc/self/stat") !== null;

/** Null if there is no such file; throws if it can't be read for another reason. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR") return null;
    throw error;
  }
}
