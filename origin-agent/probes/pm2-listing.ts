// PM2's listing, read by name: of each process six facts, and nothing else of the kilobytes PM2 gives, which
// hold every process's environment with its secrets. Pure; no text of a listing is ever part of an error.
import * as z from "zod";

/**
 * What PM2 says of a process, in PM2's own words but for two: `unknown` is a word we don't know, and
 * `errored` also stands for a `waiting restart` that PM2 will never act on (see `statusOf`).
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
  /** PM2's number for it, the one `pm2 restart` takes. */
  readonly pmId: number;
  /** Null where no process runs. */
  readonly pid: number | null;
  readonly status: Pm2Status;
  /** How often PM2 has started it again. */
  readonly restarts: number | null;
  readonly uptimeMs: number | null;
}

/** Processes taken from one listing; a box has a handful. */
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
    /** When it was started, milliseconds since 1970. */
    pm_uptime: z.number().positive().nullable().catch(null),
  }),
});

/**
 * The processes of a listing (`pm2 jlist`, or the daemon's answer); null where it is none. An entry that
 * lacks a name or number is left out: during a reload PM2 lists the old agent in another form.
 * @param wallNow milliseconds since 1970.
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
    // For a process that has ended PM2 lists 0, or the number it had.
    pid: runs && pid !== 0 ? pid : null,
    status,
    restarts: env.restart_time,
    uptimeMs: runs && env.pm_uptime !== null ? Math.max(0, wallNow - env.pm_uptime) : null,
  };
}

function statusOf(word: string, pid: number | null): Pm2Status {
  switch (word) {
    case "online":
    case "launching":
    case "stopping":
    case "stopped":
    case "errored":
      return word;
    case "one-launch-status":
      return "launching";
    case "waiting restart":
      // Where a restart delay is set, PM2 7 writes this over the `errored` of a process that it has given up
      // (God.js, handleExit); only its process number, set to 0 there, still tells the two apart.
      return pid === 0 ? "errored" : "waiting restart";
    default:
      return "unknown";
  }
}
