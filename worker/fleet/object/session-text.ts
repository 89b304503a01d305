// Converts a link's session to the text that its socket carries through hibernation, and back. The text has at most
// 16 KiB, so a box with many servers loses its least important fields first. Pure; no input makes it throw.
import type { Snapshot } from "../../../shared/wire.ts";
import type { Session } from "./sessions.ts";

/** The platform's limit for an attachment, less what its serializer adds around a text. */
const MAX_CHARACTERS = 16_384 - 64;

/** Raised when the text's shape changes; a text of another version is ignored. */
const VERSION = 2;

/** Longest free text (reasons, card names) in the first shortened form. */
const SHORT_TEXT = 40;

/** ASCII only, so that its length is its size in bytes. */
export function sessionText(session: Session): string {
  let left = session;
  for (const shorten of [keepAll, noWindows, shortTexts, noTexts]) {
    left = shorten(left);
    const text = asciiJson({ v: VERSION, ...left });
    if (text.length <= MAX_CHARACTERS) return text;
  }
  for (;;) {
    left = halved(left);
    const text = asciiJson({ v: VERSION, ...left });
    if (text.length <= MAX_CHARACTERS) return text;
  }
}

/** Null for a text that this version didn't write. */
export function sessionOf(text: unknown): Session | null {
  if (typeof text !== "string") return null;
  try {
    const { v, ...session } = JSON.parse(text) as Session & { readonly v: number };
    return v === VERSION ? session : null;
  } catch {
    return null;
  }
}

const keepAll = (session: Session): Session => session;

/** The next snapshot brings the traffic windows back. */
function noWindows(session: Session): Session {
  return withSnapshot(session, ({ traffic: { windows: _left, ...traffic }, ...snapshot }) => ({
    ...snapshot,
    traffic,
  }));
}

const shortTexts = (session: Session): Session => cutTexts(session, SHORT_TEXT);

function noTexts(session: Session): Session {
  const { hello } = session;
  const servers = hello?.servers.map(({ port }) => ({ port, model: "" })) ?? [];
  return { ...cutTexts(session, 0), hello: hello === null ? null : { ...hello, servers } };
}

function cutTexts(session: Session, max: number): Session {
  return withSnapshot(session, (snapshot) => ({
    ...snapshot,
    servers: snapshot.servers.map((server) => ({ ...server, why: server.why.slice(0, max) })),
    gpus: snapshot.gpus?.map((gpu) => ({ ...gpu, name: gpu.name?.slice(0, max) ?? null })) ?? null,
  }));
}

/** The last resort: only the first servers and cards. Each round halves them, and an empty snapshot always fits. */
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
  return JSON.stringify(value, threeDecimals).replaceAll(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Agents send rounded figures; one that doesn't must not fill the text with digits. */
function threeDecimals(_name: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 1000) / 1000 : value;
}
