// What happened, in words, from what a box said before and says now: "8085 was restarted by PM2, back after 6.1 s,
// 3 streams continued". Pure; the Fleet object numbers the events and keeps the newest.
import { measuredText } from "../../../shared/duration.ts";
import type { LinkState } from "../../../shared/wire.ts";
import type { FleetEvent } from "../../../shared/fleet-view.ts";

export type Told = Pick<FleetEvent, "port" | "level" | "text">;

export interface SaidServer {
  readonly port: number;
  readonly state: LinkState;
  readonly why: string;
  readonly restarts: number | null;
  /** Streams that another server or a restarted one went on with, since the agent's start. */
  readonly continued: number;
}

export interface SaidBox {
  readonly draining: boolean;
  readonly journal: "ok" | "full" | "failing";
  readonly servers: readonly SaidServer[];
}

/** How a server is since it last changed, and how it was before it went down. */
export interface ServerHistory {
  readonly state: LinkState;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly restarts: number | null;
  readonly continued: number;
  /** Since when it takes no calls, with the counts of then; null while it does. */
  readonly out: {
    readonly since: number;
    readonly restarts: number | null;
    readonly continued: number;
  } | null;
}

export interface BoxHistory {
  readonly draining: boolean;
  readonly journal: SaidBox["journal"];
  /** By port, as text: plain data that can be stored. */
  readonly servers: Readonly<Record<string, ServerHistory>>;
}

/** What is told of a box's words, and what to compare its next ones with. The first words of a box tell nothing. */
export function happened(
  before: BoxHistory | null,
  said: SaidBox,
  now: number,
): { readonly course: BoxHistory; readonly told: readonly Told[] } {
  const told: Told[] = [];
  const servers: Record<string, ServerHistory> = {};
  for (const server of said.servers) {
    const known = before?.servers[server.port];
    const course = courseOf(known, server, now);
    servers[server.port] = course;
    if (known !== undefined && known.state !== server.state) told.push(changed(known, server, now));
    else if (known !== undefined && known.out === null && grew(known.restarts, server.restarts)) {
      // So quick that no word of it came between.
      const text = `${server.port} was restarted by PM2${continuedWords(known.continued, server.continued)}`;
      told.push({ port: server.port, level: "warn", text });
    }
  }
  if (before !== null && before.draining !== said.draining) {
    const text = said.draining ? "takes no further calls" : "takes calls again";
    told.push({ port: null, level: said.draining ? "info" : "good", text });
  }
  if (before !== null && before.journal !== said.journal) told.push(journalWords(said.journal));
  return { course: { draining: said.draining, journal: said.journal, servers }, told };
}

function courseOf(known: ServerHistory | undefined, server: SaidServer, now: number): ServerHistory {
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

function changed(known: ServerHistory, server: SaidServer, now: number): Told {
  const { port, state } = server;
  const because = server.why === "" ? "" : `: ${server.why}`;
  switch (state) {
    case "ready":
      return { port, level: "good", text: backWords(known, server, now) };
    case "slow":
      return { port, level: "warn", text: `${port} is slow${because}` };
    case "loading":
      return { port, level: "info", text: `${port} is loading` };
    case "stalled":
      return { port, level: "bad", text: `${port} decodes nothing${because}` };
    case "down":
      return { port, level: "bad", text: `${port} is down${because}` };
    case "draining":
      return { port, level: "info", text: `${port} is left alone by an operator's wish` };
  }
}

function backWords({ out }: ServerHistory, server: SaidServer, now: number): string {
  if (out === null) return `${server.port} is as quick as usual again`;
  const after = measuredText(now - out.since);
  const back = grew(out.restarts, server.restarts)
    ? `${server.port} was restarted by PM2, back after ${after}`
    : `${server.port} is up again after ${after}`;
  return back + continuedWords(out.continued, server.continued);
}

/** A count that fell is a new agent's: nothing can be said of it. */
function continuedWords(before: number, now: number): string {
  const streams = now - before;
  if (streams <= 0) return "";
  return `, ${streams} ${streams === 1 ? "stream" : "streams"} continued`;
}

function journalWords(journal: SaidBox["journal"]): Told {
  if (journal === "ok") return { port: null, level: "good", text: "the usage journal takes records again" };
  const text = `the usage journal is ${journal}: calls are served and may not be booked`;
  return { port: null, level: "bad", text };
}

function grew(before: number | null, now: number | null): boolean {
  return before !== null && now !== null && now > before;
}
