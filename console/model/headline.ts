// The whole fleet in one line of words: what an operator reads in the first second, and what follows from it.
import type { FleetBoxView, FleetServerView, FleetView } from "../../shared/fleet-view.ts";
import { durationWords } from "./duration.ts";
import { counted, numberWord } from "./figure.ts";
import { BOX_WORDS, byLevel, SERVER_WORDS, takesCalls, type Level } from "./server-state.ts";

/** One thing that isn't as it should be. */
export interface Trouble {
  readonly level: Level;
  /** Who and what: "BiMediX2-8B on 8085 is down". The same text for as long as it holds. */
  readonly what: string;
  /** "since 12 s", or empty. */
  readonly since: string;
  /** Why, as the box says it; may be empty. */
  readonly why: string;
  /** Who goes on in its place, or whom it touches. */
  readonly effect: string;
}

export interface Headline {
  readonly level: Level;
  /** One sentence without any duration: what a screen reader is told, once a change. */
  readonly said: string;
  /** The same as it is shown, with since when and why. */
  readonly shown: string;
  /** All there is to say, the worst first. */
  readonly troubles: readonly Trouble[];
}

export function headline(view: FleetView, now: number): Headline {
  const servers = view.boxes.flatMap((box) => box.servers);
  const troubles = view.boxes.flatMap((box) => troublesOf(box, view, now)).sort(byLevel);
  const [worst, ...others] = troubles;
  if (view.boxes.length === 0) return plain("quiet", "The fleet file names no box");
  if (worst === undefined) return plain("good", allWell(view, servers.length));
  if (!servers.some(takesCalls) && servers.length > 0) {
    const said = "No model can be served";
    const shown = troubles.length === 1 ? `${said}: ${sentence(worst)}` : said;
    return { level: "bad", said, shown, troubles: troubles.map((each) => ({ ...each, effect: "" })) };
  }
  const more = others.length === 0 ? "" : `, and ${counted(others.length, "other thing")}`;
  return { level: worst.level, said: `${worst.what}${more}`, shown: `${sentence(worst)}${more}`, troubles };
}

/** "BiMediX2-8B on 8085 is down since 12 s: PM2 restarts it". */
export function sentence({ what, since, why }: Trouble): string {
  return [what, since].filter((part) => part !== "").join(" ") + (why === "" ? "" : `: ${why}`);
}

/** How much there is to see to at a box. */
export function boxLevel(box: FleetBoxView): Level {
  const levels = [BOX_WORDS[box.state], ...box.servers.map(({ state }) => SERVER_WORDS[state])];
  return levels.toSorted(byLevel)[0]?.level ?? "good";
}

function plain(level: Level, text: string): Headline {
  return { level, said: text, shown: text, troubles: [] };
}

function allWell(view: FleetView, servers: number): string {
  if (servers === 1) return "The one server is up";
  const where = view.boxes.length === 1 ? "" : ` on ${counted(view.boxes.length, "box", "boxes")}`;
  return `${servers === 2 ? "Both servers" : `All ${counted(servers, "server")}`}${where} are up`;
}

function troublesOf(box: FleetBoxView, view: FleetView, now: number): Trouble[] {
  if (box.state === "silent") return [silence(box, now)];
  const found =
    allTheSame(box, now) ?? box.servers.flatMap((server) => serverTrouble(server, box, view, now));
  if (box.state === "draining") {
    const busy = box.servers.reduce((sum, server) => sum + server.busy, 0);
    found.unshift({
      level: BOX_WORDS.draining.level,
      what: `${box.name} is draining`,
      since: "",
      why: "",
      effect:
        busy === 0 ? "It is empty now." : `${capital(counted(busy, "slot is", "slots are"))} still at work.`,
    });
  }
  return found;
}

function silence(box: FleetBoxView, now: number): Trouble {
  const servers = counted(box.servers.length, "server");
  return {
    level: "bad",
    what: box.lastSeenAt === null ? `${box.name} hasn't been heard yet` : `${box.name} is silent`,
    since: box.lastSeenAt === null ? "" : `since ${durationWords(now - box.lastSeenAt)}`,
    why: "",
    effect: `No call goes to its ${servers}.`,
  };
}

/** A whole box in one state is one trouble, not five. */
function allTheSame(box: FleetBoxView, now: number): Trouble[] | null {
  const [first] = box.servers;
  const count = box.servers.length;
  if (first === undefined || count < 2 || SERVER_WORDS[first.state].level === "good") return null;
  if (!box.servers.every(({ state }) => state === first.state)) return null;
  if (box.state === "draining" && first.state === "draining") return [];
  const since = Math.min(...box.servers.map((server) => server.since ?? now));
  const { level, word } = SERVER_WORDS[first.state];
  return [
    {
      level,
      what: `All ${counted(count, "server")} of ${box.name} are ${wordOf(word)}`,
      since: since === now ? "" : `since ${durationWords(now - since)}`,
      why: box.servers.every(({ why }) => why === first.why) ? first.why : "",
      effect: "",
    },
  ];
}

function serverTrouble(server: FleetServerView, box: FleetBoxView, view: FleetView, now: number): Trouble[] {
  const { level, word, meaning } = SERVER_WORDS[server.state];
  if (level === "good" || (server.state === "draining" && box.state === "draining")) return [];
  const where = view.boxes.length === 1 ? "" : ` of ${box.name}`;
  return [
    {
      level,
      what: `${server.model} on ${server.port}${where} is ${wordOf(word)}`,
      since: server.since === null ? "" : `since ${durationWords(now - server.since)}`,
      why: server.why === "" && level === "bad" ? meaning : server.why,
      effect: takesCalls(server) ? "It takes calls." : effectOf(server, box, view),
    },
  ];
}

const wordOf = (word: string): string => (word === "unknown" ? "not known of" : word);

/** Who goes on with the model; where nobody does, whose calls fall back. */
function effectOf(server: FleetServerView, box: FleetBoxView, view: FleetView): string {
  const nearFirst = view.boxes.toSorted((a, b) => Number(b === box) - Number(a === box));
  const replicas = nearFirst.flatMap((other) =>
    other.servers
      .filter((candidate) => candidate.model === server.model && takesCalls(candidate))
      .map((candidate) => (other === box ? `${candidate.port}` : `${other.name}:${candidate.port}`)),
  );
  if (replicas.length > 0) {
    const named = replicas.slice(0, NAMED_REPLICAS).join(", ");
    const others = replicas.length - NAMED_REPLICAS;
    return `The same model is up on ${named}${others > 0 ? ` and ${numberWord(others)} more` : ""}.`;
  }
  const whose = server.agents.length === 0 ? "Its calls" : `Calls for ${server.agents.join(", ")}`;
  return `No other server has this model. ${whose} fall back to other models.`;
}

/** Enough to know that there are some. */
const NAMED_REPLICAS = 3;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
