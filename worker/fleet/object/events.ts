// Compares a box's new status with its previous one and returns what happened: "8085 (BiMediX2-8B) on box1 was
// restarted by PM2, back after 6.1 s, 3 streams continued". Pure; the Fleet object numbers and stores the events.
import { measuredText } from "../../../shared/duration.ts";
import type { LinkState } from "../../../shared/wire.ts";
import type { FleetEvent } from "../../../shared/fleet-view.ts";

export type NewEvent = Pick<FleetEvent, "port" | "level" | "text">;

export interface ServerStatus {
  readonly port: number;
  readonly state: LinkState;
  readonly why: string;
  readonly restarts: number | null;
  /** Streams that another or a restarted server continued, since the agent's start. */
  readonly continued: number;
}

export interface BoxStatus {
  readonly box: string;
  readonly draining: boolean;
  readonly journal: "ok" | "full" | "failing";
  readonly servers: readonly ServerStatus[];
  /** By port. */
  readonly models: ReadonlyMap<number, string>;
}

/** A server's state since its last change, and its counts from before it stopped taking calls. Stored as JSON. */
interface ServerHistory {
  readonly state: LinkState;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly restarts: number | null;
  readonly continued: number;
  /** When it stopped taking calls, with its counts at that time; null while it takes calls. */
  readonly out: {
    readonly since: number;
    readonly restarts: number | null;
    readonly continued: number;
  } | null;
}

/** Stored as JSON. */
export interface BoxHistory {
  readonly draining: boolean;
  readonly journal: BoxStatus["journal"];
  /** By port. */
  readonly servers: Readonly<Record<string, ServerHistory>>;
}

/** Returns the events since `before`, and the history to compare the next status with. A first status has no events. */
export function detectEvents(
  before: BoxHistory | null,
  status: BoxStatus,
  now: number,
): { readonly history: BoxHistory; readonly events: readonly NewEvent[] } {
  const events: NewEvent[] = [];
  const servers: Record<string, ServerHistory> = {};
  for (const server of status.servers) {
    const { port } = server;
    const known = before?.servers[port];
    servers[port] = nextHistory(known, server, now);
    if (known === undefined) continue;
    const name = serverName(status.box, port, status.models.get(port));
    if (known.state !== server.state) events.push(stateEvent(known, server, name, now));
    else if (known.out === null && grew(known.restarts, server.restarts)) {
      // The restart was so quick that no snapshot showed it.
      const text = `${name} was restarted by PM2${continuedText(known.continued, server.continued)}`;
      events.push({ port, level: "warn", text });
    }
  }
  const { box, draining, journal } = status;
  if (before !== null && before.draining !== draining) {
    const text = draining ? `${box} takes no new calls` : `${box} takes calls again`;
    events.push({ port: null, level: draining ? "info" : "good", text });
  }
  if (before !== null && before.journal !== journal) events.push(journalEvent(box, journal));
  return { history: { draining, journal, servers }, events };
}

/** The subject of a server's events and alarms. @param model undefined or empty if it isn't known */
export function serverName(box: string, port: number, model: string | undefined): string {
  return model === undefined || model === "" ? `${port} on ${box}` : `${port} (${model}) on ${box}`;
}

function nextHistory(known: ServerHistory | undefined, server: ServerStatus, now: number): ServerHistory {
  const { state, restarts, continued } = server;
  const takesCalls = state === "ready" || state === "slow";
  const since = known?.state === state ? known.since : now;
  const begun = {
    since: now,
    restarts: known?.restarts ?? restarts,
    continued: known?.continued ?? continued,
  };
  return { state, since, restarts, continued, out: takesCalls ? null : (known?.out ?? begun) };
}

function stateEvent(known: ServerHistory, server: ServerStatus, name: string, now: number): NewEvent {
  const { port, state } = server;
  const because = server.why === "" ? "" : `: ${server.why}`;
  switch (state) {
    case "ready":
      return { port, level: "good", text: name + recoveryText(known, server, now) };
    case "slow":
      return { port, level: "warn", text: `${name} is slow${because}` };
    case "loading":
      return { port, level: "info", text: `${name} is loading` };
    case "stalled":
      return { port, level: "bad", text: `${name} is stalled${because}` };
    case "down":
      return { port, level: "bad", text: `${name} is down${because}` };
  }
}

function recoveryText({ out }: ServerHistory, server: ServerStatus, now: number): string {
  if (out === null) return " is back to its usual speed";
  const after = measuredText(now - out.since);
  const back = grew(out.restarts, server.restarts)
    ? ` was restarted by PM2, back after ${after}`
    : ` is up again after ${after}`;
  return back + continuedText(out.continued, server.continued);
}

/** Empty if the count fell: it is a new agent's then. */
function continuedText(before: number, now: number): string {
  const streams = now - before;
  if (streams <= 0) return "";
  return `, ${streams} ${streams === 1 ? "stream" : "streams"} continued`;
}

function journalEvent(box: string, journal: BoxStatus["journal"]): NewEvent {
  if (journal === "ok")
    return { port: null, level: "good", text: `the usage journal of ${box} takes records again` };
  const text = `the usage journal of ${box} is ${journal}: calls are served but may not be booked`;
  return { port: null, level: "bad", text };
}

function grew(before: number | null, now: number | null): boolean {
  return before !== null && now !== null && now > before;
}
