// Decides in which order boxes are tried for a call, and which of their ports may serve it. Pure: the usable servers and
// the fleet snapshot go in.
import type { FallbackPolicy, Server } from "../../shared/fleet.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import { mayServe, PLACES, placeAt, type FleetSnapshot, type Place } from "../fleet/snapshot.ts";

/** A box to try, with the ports that its agent may use. */
export interface BoxChoice {
  readonly box: string;
  /** Preferred ports, best first. */
  readonly ports: readonly number[];
  /** Ports to use if none of `ports` is up, in order. */
  readonly fallbackPorts: readonly number[];
}

interface Requested {
  readonly server: Server;
  /** Only this port may serve the call while it is up. */
  readonly strict: boolean;
  readonly choices: number;
  readonly policy: FallbackPolicy;
  /** Whether a server may take the call at all. */
  readonly canServe: (candidate: Server) => boolean;
}

interface Candidate {
  readonly box: string;
  readonly server: Server;
  readonly place: Place;
}

export interface BoxOrder {
  readonly boxes: readonly BoxChoice[];
  /** Whether each box of the requested servers reported a moment ago: only then may a call be refused. */
  readonly current: boolean;
  /** The best place at the requested servers; null if no server of the fleet may serve the call. */
  readonly best: Place | null;
  /** Whether a fallback on any box could serve the call. */
  readonly canFallBack: boolean;
  /** The shortest queue time of the requested servers that are full; null if unknown. */
  readonly waitMs: number | null;
}

/**
 * Orders the boxes for a call: first the requested servers of every box, then replicas of the model on any box, then
 * other models in the router's order. Successive ports of one box form one choice, so that an agent changes the model
 * only if no other box can serve it.
 * @param random from 0 to below 1: decides between equally good boxes
 */
export function boxOrder(
  requested: Requested,
  index: FleetIndex,
  snapshot: FleetSnapshot,
  random: number,
): BoxOrder {
  const { server, strict, choices, policy, canServe } = requested;
  const all: Candidate[] = [];
  for (const { name, servers } of index.boxes) {
    for (const candidate of servers) {
      if (!canServe(candidate)) continue;
      all.push({ box: name, server: candidate, place: placeAt(snapshot, name, candidate.port, choices) });
    }
  }
  const sameModel = all.filter((one) => one.server.model === server.model);
  const direct = strict ? sameModel.filter((one) => one.server.port === server.port) : sameModel;
  const boxes = rankedBoxes(direct, snapshot, random);
  const preferred = boxes.flatMap((box) => homeFirst(direct, box, server.port));
  // The last box falls back itself, before the call goes to another box that is no better.
  const rest = policy === "none" ? [] : boxFirst(all, boxes.at(-1));
  const replicas = strict
    ? rest.filter((one) => one.server.model === server.model && one.server.port !== server.port)
    : [];
  const fallbacks = policy === "auto" ? [...replicas, ...otherModels(rest, server, index)] : replicas;
  return {
    boxes: grouped(preferred, fallbacks),
    current: boxes.every((box) => snapshot.boxes.get(box)?.current === true),
    best: bestPlace(direct.map(({ place }) => place)),
    canFallBack: fallbacks.some(({ place }) => mayServe(place)),
    waitMs: shortestWait(direct, snapshot),
  };
}

/** Those that may serve come first, and among equal ones those of the box. */
function boxFirst(all: readonly Candidate[], box: string | undefined): Candidate[] {
  const ranked: [Candidate[], Candidate[], Candidate[], Candidate[]] = [[], [], [], []];
  for (const one of all) {
    if (mayServe(one.place)) ranked[one.box === box ? 0 : 1].push(one);
    else ranked[one.box === box ? 2 : 3].push(one);
  }
  return ranked.flat();
}

/** For each port of the router, its servers, then the replicas of its model, which can do the same. */
function otherModels(rest: readonly Candidate[], requested: Server, index: FleetIndex): Set<Candidate> {
  const others = new Set<Candidate>();
  const foreign = rest.filter((one) => one.server.model !== requested.model);
  for (const port of index.routerPorts) {
    const model = index.byPort.get(port)?.model;
    for (const one of foreign) if (one.server.port === port) others.add(one);
    for (const one of foreign) if (one.server.model === model) others.add(one);
  }
  return others;
}

/**
 * Ranks boxes by their best place, then by the number of calls that could start there; `random` rotates equal ones.
 * Silent boxes keep the fleet file's order: nothing is known by which calls could be balanced.
 */
function rankedBoxes(candidates: readonly Candidate[], snapshot: FleetSnapshot, random: number): string[] {
  const names = [...new Set(candidates.map(({ box }) => box))];
  if (names.length === 1) return names;
  const offset = Math.floor(random * names.length);
  const ranked = names.map((box, at) => {
    const own = candidates.filter((one) => one.box === box);
    const place = bestPlace(own.map((one) => one.place)) ?? "down";
    const free = own.reduce((sum, { server }) => sum + freeAt(snapshot, box, server.port), 0);
    const tie = place === "unknown" ? at : (at - offset + names.length) % names.length;
    return { box, rank: PLACES.indexOf(place), free, tie };
  });
  return ranked.toSorted((a, b) => a.rank - b.rank || b.free - a.free || a.tie - b.tie).map(({ box }) => box);
}

function freeAt(snapshot: FleetSnapshot, box: string, port: number): number {
  const server = snapshot.boxes.get(box)?.servers.get(port);
  return server === undefined ? 0 : server.free + server.places - server.sent;
}

function bestPlace(places: readonly Place[]): Place | null {
  return PLACES.find((place) => places.includes(place)) ?? null;
}

/** A box's candidates, the home port first: its agent knows best which of them has room. */
function homeFirst(candidates: readonly Candidate[], box: string, home: number): Candidate[] {
  return candidates
    .filter((one) => one.box === box)
    .toSorted((a, b) => Number(b.server.port === home) - Number(a.server.port === home));
}

function shortestWait(candidates: readonly Candidate[], snapshot: FleetSnapshot): number | null {
  const waits = candidates.flatMap(({ box, server, place }) => {
    const waitMs = snapshot.boxes.get(box)?.servers.get(server.port)?.waitMs;
    return place === "full" && waitMs != null ? [waitMs] : [];
  });
  return waits.length === 0 ? null : Math.min(...waits);
}

function grouped(preferred: readonly Candidate[], fallbacks: readonly Candidate[]): BoxChoice[] {
  const boxes: { box: string; ports: number[]; fallbackPorts: number[] }[] = [];
  const add = (list: "ports" | "fallbackPorts", { box, server }: Candidate): void => {
    let choice = boxes.at(-1);
    if (choice?.box !== box) {
      choice = { box, ports: [], fallbackPorts: [] };
      boxes.push(choice);
    }
    choice[list].push(server.port);
  };
  for (const one of preferred) add("ports", one);
  for (const one of fallbacks) add("fallbackPorts", one);
  return boxes;
}
