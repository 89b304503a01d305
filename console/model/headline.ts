// Summarises the fleet in one line, and lists what is wrong with it: the first thing that an operator reads.
import type { FleetBoxView, FleetServerView, FleetView } from "../../shared/fleet-view.ts";
import { durationText } from "../../shared/duration.ts";
import { quantityText, spelledNumber } from "./format.ts";
import { BOX_STATE_TEXT, byLevel, SERVER_STATE_TEXT, takesCalls, type Level } from "./server-state.ts";

/** What an operator can do about a trouble at once. */
export interface Remedy {
  readonly kind: "resume" | "restart";
  readonly box: string;
  /** The server's, for a restart. */
  readonly port: number | null;
}

/** One thing that is wrong. */
export interface Trouble {
  readonly level: Level;
  /** "BiMediX2-8B on 8085 is down". Constant while the trouble lasts. */
  readonly summary: string;
  /** "BiMediX2-8B on 8085 has been down for 12 s: PM2 restarts it" */
  readonly sentence: string;
  /** The server that takes over, or the calls that are affected; may be empty. */
  readonly effect: string;
  readonly remedy: Remedy | null;
}

export interface Headline {
  readonly level: Level;
  /** One sentence without a duration, for screen readers: it changes only with the fleet. */
  readonly announcement: string;
  /** The same with durations and reasons, as shown. */
  readonly text: string;
  /** The worst first. */
  readonly troubles: readonly Trouble[];
}

export function headline(view: FleetView, now: number): Headline {
  const servers = view.boxes.flatMap((box) => box.servers);
  const troubles = view.boxes.flatMap((box) => troublesOf(box, view, now)).sort(byLevel);
  const [worst, ...others] = troubles;
  if (view.boxes.length === 0) return plain("quiet", "The fleet file contains no boxes");
  if (worst === undefined) return plain("good", allUp(view, servers.length));
  if (!view.boxes.some(isServed) && servers.length > 0) return nothingServed(view, troubles);
  const more = others.length === 0 ? "" : `, and ${quantityText(others.length, "other issue")}`;
  return {
    level: worst.level,
    announcement: `${worst.summary}${more}`,
    text: `${worst.sentence}${more}`,
    troubles,
  };
}

const isServed = (box: FleetBoxView): boolean => box.state === "up" && box.servers.some(takesCalls);

/** All boxes drained is an operator's doing, and easily undone; otherwise each box has its own reason. */
function nothingServed(view: FleetView, troubles: readonly Trouble[]): Headline {
  const drained = view.boxes.filter(({ state }) => state === "draining").map(({ name }) => name);
  const allDrained = drained.length === view.boxes.length;
  const [first] = troubles;
  const reason = allDrained
    ? `${listText(drained)} ${drained.length === 1 ? "is" : "are"} drained`
    : troubles.length === 1
      ? (first?.sentence ?? "")
      : "";
  const announcement = allDrained ? `Nothing is served: ${reason}` : "Nothing is served";
  return {
    level: "bad",
    announcement,
    text: reason === "" ? announcement : `Nothing is served: ${reason}`,
    troubles: troubles.map((each) => ({ ...each, level: "bad", effect: "" })),
  };
}

/** "box1", "box1 and box2", "box1, box2 and three more". */
function listText(names: readonly string[]): string {
  const shown = names.slice(0, names.length > NAMED_REPLICAS ? NAMED_REPLICAS - 1 : NAMED_REPLICAS);
  const rest = names.length - shown.length;
  const parts = rest > 0 ? [...shown, `${spelledNumber(rest)} more`] : shown;
  return parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

/** The worst level of a box and its servers. */
export function boxLevel(box: FleetBoxView): Level {
  const levels = [BOX_STATE_TEXT[box.state], ...box.servers.map(({ state }) => SERVER_STATE_TEXT[state])];
  return levels.toSorted(byLevel)[0]?.level ?? "good";
}

function plain(level: Level, text: string): Headline {
  return { level, announcement: text, text, troubles: [] };
}

function allUp(view: FleetView, servers: number): string {
  if (servers === 1) return "The only server is up";
  const place = view.boxes.length === 1 ? "" : ` on ${quantityText(view.boxes.length, "box", "boxes")}`;
  return `${servers === 2 ? "Both servers" : `All ${quantityText(servers, "server")}`}${place} are up`;
}

interface Condition {
  readonly subject: string;
  readonly plural?: boolean;
  readonly state: string;
  /** Null if the start is unknown. */
  readonly since: number | null;
  readonly reason?: string;
}

/** "… is down", and "… has been down for 12 s: PM2 restarts it". */
function describe(
  { subject, plural = false, state, since, reason = "" }: Condition,
  now: number,
): Pick<Trouble, "summary" | "sentence"> {
  const summary = `${subject} ${plural ? "are" : "is"} ${state}`;
  const lasting =
    since === null
      ? summary
      : `${subject} ${plural ? "have" : "has"} been ${state} for ${durationText(now - since)}`;
  return { summary, sentence: reason === "" ? lasting : `${lasting}: ${reason}` };
}

function troublesOf(box: FleetBoxView, view: FleetView, now: number): Trouble[] {
  if (box.state === "silent") return [silence(box, now)];
  const found =
    sameStateTrouble(box, now) ?? box.servers.flatMap((server) => serverTrouble(server, box, view, now));
  if (box.state === "draining") {
    const busy = box.servers.reduce((sum, server) => sum + server.busy, 0);
    found.unshift({
      level: BOX_STATE_TEXT.draining.level,
      ...describe(
        {
          subject: box.name,
          state: busy === 0 ? "drained" : "draining",
          since: box.drainedAt ?? null,
        },
        now,
      ),
      effect:
        busy === 0
          ? "It takes no calls, and none runs there."
          : `${capitalised(quantityText(busy, "slot is", "slots are"))} still busy.`,
      // An agent that shuts down drains by itself.
      remedy: box.drainedAt === null ? null : { kind: "resume", box: box.name, port: null },
    });
  }
  return found;
}

function silence(box: FleetBoxView, now: number): Trouble {
  const never = `${box.name} hasn't reported yet`;
  return {
    level: "bad",
    ...(box.lastSeenAt === null
      ? { summary: never, sentence: never }
      : describe({ subject: box.name, state: "silent", since: box.lastSeenAt }, now)),
    effect: `No calls go to its ${quantityText(box.servers.length, "server")}.`,
    remedy: null,
  };
}

/** One trouble instead of several if all servers of a box are in the same state. */
function sameStateTrouble(box: FleetBoxView, now: number): Trouble[] | null {
  const [first] = box.servers;
  const count = box.servers.length;
  if (first === undefined || count < 2 || SERVER_STATE_TEXT[first.state].level === "good") return null;
  if (!box.servers.every(({ state }) => state === first.state)) return null;
  const since = Math.min(...box.servers.map((server) => server.since ?? now));
  const { level, label } = SERVER_STATE_TEXT[first.state];
  return [
    {
      level,
      ...describe(
        {
          subject: `All ${quantityText(count, "server")} of ${box.name}`,
          plural: true,
          state: label,
          since: since === now ? null : since,
          reason: box.servers.every(({ why }) => why === first.why) ? first.why : "",
        },
        now,
      ),
      effect: "",
      remedy: null,
    },
  ];
}

function serverTrouble(server: FleetServerView, box: FleetBoxView, view: FleetView, now: number): Trouble[] {
  const { level, label, meaning } = SERVER_STATE_TEXT[server.state];
  if (level === "good") return [];
  const place = view.boxes.length === 1 ? "" : ` of ${box.name}`;
  return [
    {
      level,
      ...describe(
        {
          subject: `${server.model} on ${server.port}${place}`,
          state: label,
          since: server.since,
          reason: server.why === "" && level === "bad" ? meaning : server.why,
        },
        now,
      ),
      effect: takesCalls(server) ? "It takes calls." : effectOf(server, box, view),
      remedy: level === "bad" ? { kind: "restart", box: box.name, port: server.port } : null,
    },
  ];
}

/** The servers that take over the model; if there are none, the calls that fall back. */
function effectOf(server: FleetServerView, box: FleetBoxView, view: FleetView): string {
  const nearFirst = view.boxes.toSorted((a, b) => Number(b === box) - Number(a === box));
  const replicas = nearFirst.flatMap((other) =>
    other.servers
      .filter(
        (candidate) => other.state === "up" && candidate.model === server.model && takesCalls(candidate),
      )
      .map((candidate) => (other === box ? `${candidate.port}` : `${other.name}:${candidate.port}`)),
  );
  if (replicas.length > 0) {
    const named = replicas.slice(0, NAMED_REPLICAS).join(", ");
    const others = replicas.length - NAMED_REPLICAS;
    return `The same model is up on ${named}${others > 0 ? ` and ${spelledNumber(others)} more` : ""}.`;
  }
  const calls = server.agents.length === 0 ? "Its calls" : `Calls for ${server.agents.join(", ")}`;
  return `No other server has this model. ${calls} fall back to other models.`;
}

/** More replicas are only counted. */
const NAMED_REPLICAS = 3;

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
