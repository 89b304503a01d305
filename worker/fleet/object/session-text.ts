// A link's session as the text that its socket carries through hibernation: 16 KiB at most, so what is least needed
// goes first where a box has many servers. Pure. Nothing it is given makes it throw.
import type { Snapshot } from "../../../shared/wire.ts";
import type { Session } from "./sessions.ts";

/** The platform's bound on an attachment, less what its serializer puts around a text. */
const MAX_CHARACTERS = 16_384 - 64;

/** Raised when the text's shape changes: one of another release is as good as none. */
const VERSION = 1;

/** In ASCII, a character a byte. */
export function sessionText(session: Session): string {
  let left = session;
  for (const lighter of [rounded, withShortWords, withoutWords]) {
    left = lighter(left);
    const text = asciiJson({ v: VERSION, ...left });
    if (text.length <= MAX_CHARACTERS) return text;
  }
  for (;;) {
    left = halved(left);
    const text = asciiJson({ v: VERSION, ...left });
    if (text.length <= MAX_CHARACTERS) return text;
  }
}

/** Null for what this release didn't write. */
export function sessionOf(text: unknown): Session | null {
  if (typeof text !== "string") return null;
  try {
    const { v, ...session } = JSON.parse(text) as Session & { readonly v: number };
    return v === VERSION ? session : null;
  } catch {
    return null;
  }
}

/** Figures come with up to 17 digits, of which people read three. */
function rounded(session: Session): Session {
  return withSnapshot(session, (snapshot) => ({
    ...snapshot,
    servers: snapshot.servers.map((server) => ({
      ...server,
      waitMs: round(server.waitMs),
      tokensPerSecond: round(server.tokensPerSecond),
      gpuGib: round(server.gpuGib),
    })),
    gpus:
      snapshot.gpus?.map((gpu) => ({
        name: gpu.name,
        memoryUsedGib: round(gpu.memoryUsedGib),
        memoryTotalGib: round(gpu.memoryTotalGib),
        utilizationPercent: round(gpu.utilizationPercent),
        temperatureC: round(gpu.temperatureC),
        powerWatts: round(gpu.powerWatts),
      })) ?? null,
  }));
}

const round = (figure: number | null): number | null =>
  figure === null ? null : Math.round(figure * 1000) / 1000;

function withShortWords(session: Session): Session {
  return cutWords(session, 40);
}

function withoutWords(session: Session): Session {
  const { hello } = cutWords(session, 0);
  const servers = hello?.servers.map(({ port }) => ({ port, model: "" })) ?? [];
  return { ...cutWords(session, 0), hello: hello === null ? null : { ...hello, servers } };
}

function cutWords(session: Session, most: number): Session {
  return withSnapshot(session, (snapshot) => ({
    ...snapshot,
    servers: snapshot.servers.map((server) => ({ ...server, why: server.why.slice(0, most) })),
    gpus: snapshot.gpus?.map((gpu) => ({ ...gpu, name: gpu.name?.slice(0, most) ?? null })) ?? null,
  }));
}

/** The last resort: the first of the servers and cards. Each round leaves fewer, and none at all fits. */
function halved(session: Session): Session {
  return withSnapshot(session, (snapshot) => ({
    ...snapshot,
    servers: firstHalf(snapshot.servers),
    gpus: snapshot.gpus === null ? null : firstHalf(snapshot.gpus),
  }));
}

const firstHalf = <T>(list: readonly T[]): T[] => list.slice(0, Math.floor(list.length / 2));

function withSnapshot(session: Session, change: (snapshot: Snapshot) => Snapshot): Session {
  return session.snapshot === null ? session : { ...session, snapshot: change(session.snapshot) };
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
