// Parses PM2's process listing: seven named fields of each process and nothing else, because a listing contains every
// process's environment with its secrets. Pure; no error contains text of a listing.
import * as z from "zod";

/**
 * PM2's own status of a process, with two exceptions: `unknown` is any status that isn't listed here, and `errored`
 * includes a `waiting restart` that PM2 will never act on (see `statusOf`).
 */
export type Pm2Status =
  | "online"
  | "launching"
  | "stopping"
  | "stopped"
  | "errored"
  | "waiting restart"
  | "unknown";

export interface Pm2Process {
  readonly name: string;
  /** PM2's id for the process, as `pm2 restart` takes it. */
  readonly pmId: number;
  /** Null if no process is running. */
  readonly pid: number | null;
  readonly status: Pm2Status;
  /** How often PM2 has restarted it. */
  readonly restarts: number | null;
  readonly uptimeMs: number | null;
  /** Value of `--port` among its arguments; null without one. */
  readonly port: number | null;
}

/** Maximum number of processes in one listing; a box has a handful. */
const MAX_PROCESSES = 256;

const MAX_NAME = 256;

const count = z.number().int().min(0).nullable().catch(null);

const Entry = z.object({
  name: z.string().min(1).max(MAX_NAME),
  pm_id: z.number().int().min(0),
  pid: count,
  pm2_env: z.object({
    status: z.string().catch(""),
    restart_time: count,
    /** Its command line's arguments. */
    args: z.array(z.string()).catch([]),
    /** Time of its start, milliseconds since 1970. */
    pm_uptime: z.number().positive().nullable().catch(null),
  }),
});

/**
 * The processes of a listing (`pm2 jlist`, or the daemon's reply); null if it isn't a listing. An entry without a name
 * or an id is left out: during a reload PM2 lists the old agent in another form.
 * @param wallNow milliseconds since 1970
 */
export function readListing(listing: unknown, wallNow: number): readonly Pm2Process[] | null {
  if (!Array.isArray(listing)) return null;
  return listing.slice(0, MAX_PROCESSES).flatMap((item: unknown) => {
    const entry = Entry.safeParse(item);
    return entry.success ? [processOf(entry.data, wallNow)] : [];
  });
}

function processOf(
  { name, pm_id: pmId, pid, pm2_env: env }: z.infer<typeof Entry>,
  wallNow: number,
): Pm2Process {
  const status = statusOf(env.status, pid);
  const runs = status === "online" || status === "launching" || status === "stopping";
  return {
    name,
    pmId,
    // For a process that has exited, PM2 lists 0 or its former pid.
    pid: runs && pid !== 0 ? pid : null,
    status,
    restarts: env.restart_time,
    uptimeMs: runs && env.pm_uptime !== null ? Math.max(0, wallNow - env.pm_uptime) : null,
    port: portOf(env.args),
  };
}

function portOf(args: readonly string[]): number | null {
  const at = args.indexOf("--port");
  const port = at < 0 ? Number.NaN : Number(args[at + 1]);
  return Number.isInteger(port) ? port : null;
}

function statusOf(status: string, pid: number | null): Pm2Status {
  switch (status) {
    case "online":
    case "launching":
    case "stopping":
    case "stopped":
    case "errored":
      return status;
    case "one-launch-status":
      return "launching";
    case "waiting restart":
      // If a restart delay is set, PM2 7 overwrites `errored` with this for a process that it has given up on
      // (God.js, handleExit). Only the pid distinguishes the two: there it is set to 0.
      return pid === 0 ? "errored" : "waiting restart";
    default:
      return "unknown";
  }
}
