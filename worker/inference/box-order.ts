// In which order the boxes are asked for a call, and which of their ports may serve it: pure, from the servers that
// may and what their boxes last said.
import type { FallbackPolicy, Server } from "../../shared/fleet.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import { mayServe, PLACES, placeAt, type FleetSnapshot, type Place } from "../fleet/snapshot.ts";

/** One box to ask, with the ports its agent may use. */
export interface BoxAttempt {
  readonly box: string;
  /** Ports that may serve as they are, best first. */
  readonly ports: readonly number[];
  /** Ports for when none of those is up, in order. */
  readonly fallbackPorts: readonly number[];
}

export interface Wanted {
  readonly server: Server;
  /** Only this port will do while it is up. */
  readonly strict: boolean;
  readonly choices: number;
  readonly policy: FallbackPolicy;
  /** Whether a server may take the call at all. */
  readonly able: (candidate: Server) => boolean;
}

interface Candidate {
  readonly box: string;
  readonly server: Server;
  readonly place: Place;
  /** May serve as it is; the others are for when none of those is up. */
  readonly wanted: boolean;
}

export interface Attempts {
  readonly attempts: readonly BoxAttempt[];
  /** What the best server of those asked for has to offer; null where the fleet has none that may serve. */
  readonly best: Place | null;
  /** Whether a fallback may serve, on whatever box. */
  readonly mayFallBack: boolean;
  /** The shortest wait that a full one of them named, milliseconds. */
  readonly waitMs: number | null;
}

/**
 * The boxes to ask, each with its ports: first every box's ports of the kind that was asked for, then replicas
 * of the model anywhere, then other models in the router's order. Neighbours on one box make one attempt, so
 * an agent changes the model only where no other box can serve it.
 * @param turn 0 to 1: which of equally good boxes comes first.
 */
export function attemptsFor(wanted: Wanted, index: FleetIndex, live: FleetSnapshot, turn: number): Attempts {
  const { server, strict, choices, policy } = wanted;
  const all = index.boxes.flatMap(({ name, servers }) =>
    servers.filter(wanted.able).map((candidate) => ({
      box: name,
      server: candidate,
      place: placeAt(live, name, candidate.port, choices),
    })),
  );
  const same = all.filter((one) => one.server.model === server.model);
  const asked = strict ? same.filter((one) => one.server.port === server.port) : same;
  const boxes = boxesInOrder(asked, live, turn);
  const first = boxes.flatMap((box) => homeFirst(asked, box, server.port));
  // The box asked last falls back itself, before the call goes to yet another one that is no better.
  const last = boxes.at(-1);
  const rest = [...all.filter(({ box }) => box === last), ...all.filter(({ box }) => box !== last)].toSorted(
    (a, b) => Number(mayServe(b.place)) - Number(mayServe(a.place)),
  );
  const replicas = rest.filter(
    (one) =>
      strict && policy !== "none" && one.server.model === server.model && one.server.port !== server.port,
  );
  const router = policy === "auto" ? new Set([...index.fleet.modelRouter, index.fleet.defaultPort]) : [];
  const others = [...new Set([...router].flatMap((port) => sameModelFirst(rest, port, index)))].filter(
    (one) => one.server.model !== server.model,
  );
  const candidates: Candidate[] = [
    ...first.map((one) => ({ ...one, wanted: true })),
    ...[...replicas, ...others].map((one) => ({ ...one, wanted: false })),
  ];
  return {
    attempts: grouped(candidates),
    best: bestPlace(asked.map(({ place }) => place)),
    mayFallBack: [...replicas, ...others].some(({ place }) => mayServe(place)),
    waitMs: shortestWait(asked, live),
  };
}

type Found = Omit<Candidate, "wanted">;

/** The servers on a port that the router names, then the replicas of its model: what one can do, they can. */
function sameModelFirst(rest: readonly Found[], port: number, index: FleetIndex): Found[] {
  const model = index.byPort.get(port)?.model;
  const named = rest.filter((one) => one.server.port === port);
  return [...named, ...rest.filter((one) => one.server.model === model && one.server.port !== port)];
}

/**
 * Best first by what they have to offer, then by how many calls could begin there, in turn where they are alike.
 * Silent boxes keep the fleet file's order: of them nothing is known that could be spread.
 */
function boxesInOrder(asked: readonly Found[], live: FleetSnapshot, turn: number): string[] {
  const names = [...new Set(asked.map(({ box }) => box))];
  const offset = Math.floor(turn * names.length);
  const ranked = names.map((box, at) => {
    const mine = asked.filter((one) => one.box === box);
    const place = bestPlace(mine.map((one) => one.place)) ?? "down";
    const free = mine.reduce((sum, { server }) => sum + freeAt(live, box, server.port), 0);
    const ties = place === "unknown" ? at : (at - offset + names.length) % names.length;
    return { box, rank: PLACES.indexOf(place), free, ties };
  });
  return ranked
    .toSorted((a, b) => a.rank - b.rank || b.free - a.free || a.ties - b.ties)
    .map(({ box }) => box);
}

function freeAt(live: FleetSnapshot, box: string, port: number): number {
  const server = live.boxes.get(box)?.servers.get(port);
  return server === undefined ? 0 : server.free + server.places - server.sent;
}

function bestPlace(places: readonly Place[]): Place | null {
  return PLACES.find((place) => places.includes(place)) ?? null;
}

/** A box's servers that were asked for, the home port first: which of them has room its agent knows best. */
function homeFirst(asked: readonly Found[], box: string, home: number): Found[] {
  const mine = asked.filter((one) => one.box === box);
  return mine.toSorted((a, b) => Number(b.server.port === home) - Number(a.server.port === home));
}

function shortestWait(asked: readonly Found[], live: FleetSnapshot): number | null {
  const waits = asked.flatMap(({ box, server, place }) => {
    const waitMs = live.boxes.get(box)?.servers.get(server.port)?.waitMs;
    return place === "full" && waitMs != null ? [waitMs] : [];
  });
  return waits.length === 0 ? null : Math.min(...waits);
}

function grouped(candidates: readonly Candidate[]): BoxAttempt[] {
  const attempts: { box: string; ports: number[]; fallbackPorts: number[] }[] = [];
  for (const { box, server, wanted } of candidates) {
    let attempt = attempts.at(-1);
    if (attempt?.box !== box) {
      attempt = { box, ports: [], fallbackPorts: [] };
      attempts.push(attempt);
    }
    (wanted ? attempt.ports : attempt.fallbackPorts).push(server.port);
  }
  return attempts;
}
