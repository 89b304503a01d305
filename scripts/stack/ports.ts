// Finds free TCP ports. A port that is free now may be taken a moment later, so the caller that
// uses one still has to cope with "address in use".
import { connect, createServer } from "node:net";

const LOOPBACK = "127.0.0.1";
const HIGHEST = 65_535;

/**
 * Ports from here on, up to 32,767, are below those that systems give to outgoing connections. No connection takes one
 * while the program that listened there restarts.
 */
const FIRST_OWN = 10_000;
const OWN_RANGES = 350;
const OWN_RANGE = 64;

/**
 * Ports that only this process gives out. It claims a range by listening on the range's first port until it ends, so
 * no other process takes a port of a program that is down for a moment.
 */
const own = { next: 0, end: 0, range: process.pid % OWN_RANGES };

async function claimRange() {
  for (let tried = 0; tried < OWN_RANGES; tried += 1) {
    own.range = (own.range + 1) % OWN_RANGES;
    const first = FIRST_OWN + own.range * OWN_RANGE;
    if (!(await claims(first))) continue;
    own.next = first + 1;
    own.end = first + OWN_RANGE;
    return;
  }
  throw new Error(`every port range from ${FIRST_OWN} on is taken: end what listens there`);
}

/** A port to use: exactly this one, one that is free, or the first free one from there on. */
export type PortRequest = number | "free" | { from: number };

export async function isFree(port: number) {
  // Listening isn't proof: some systems allow a loopback socket alongside one that listens on every address.
  return !(await answers(LOOPBACK, port)) && !(await answers("::1", port)) && (await canListen(port));
}

export async function firstFree(
  from: number,
  free: (port: number) => boolean | Promise<boolean> = isFree,
): Promise<number> {
  for (let port = from; port <= HIGHEST; port += 1) {
    if (await free(port)) return port;
  }
  throw new Error(`no free port from ${from} on`);
}

let lastFree: Promise<number> = Promise.resolve(0);

/** A port that is free at this moment, that no other process claims, and that this one gives out once only. */
export function freePort(): Promise<number> {
  lastFree = lastFree.catch(() => 0).then(nextFree);
  return lastFree;
}

async function nextFree(): Promise<number> {
  for (;;) {
    if (own.next === own.end) await claimRange();
    const port = own.next;
    own.next += 1;
    if (await isFree(port)) return port;
  }
}

/** Calls `launch` with a port to use, and again with the next free one if another program took it meanwhile. */
export async function withPort<T>(
  request: PortRequest,
  launch: (port: number) => Promise<T>,
  wasTaken: (error: unknown) => boolean,
  free: (port: number) => boolean | Promise<boolean> = isFree,
): Promise<T> {
  if (typeof request === "number") return launch(request);
  for (let from = request === "free" ? null : request.from; ;) {
    const port = from === null ? await freePort() : await firstFree(from, free);
    try {
      return await launch(port);
    } catch (error) {
      if (!wasTaken(error)) throw error;
      if (from !== null) from = port + 1;
    }
  }
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** Listens on `port` for as long as this process runs, without keeping it running. */
function claims(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy()).unref();
    server.once("error", () => resolve(false));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => resolve(true));
  });
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
