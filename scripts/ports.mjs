// Finds free TCP ports. A port that is free now may be taken a moment later, so the caller that
// uses one still has to cope with "address in use".
import { connect, createServer } from "node:net";

const LOOPBACK = "127.0.0.1";
const HIGHEST = 65_535;

/** A port to use: exactly this one (0: any free one), or the first free one from there on. */
/** @typedef {number | { from: number }} PortRequest */

/** @param {number} port */
export async function isFree(port) {
  // Listening alone doesn't tell: some systems let a loopback socket in beside one that listens everywhere.
  return !(await answers(LOOPBACK, port)) && !(await answers("::1", port)) && (await canListen(port));
}

/**
 * @param {number} from
 * @param {(port: number) => boolean | Promise<boolean>} free
 * @returns {Promise<number>}
 */
export async function firstFree(from, free = isFree) {
  for (let port = from; port <= HIGHEST; port += 1) {
    if (await free(port)) return port;
  }
  throw new Error(`no free port from ${from} on`);
}

/** A port that is free at this moment, any. @returns {Promise<number>} */
export function anyFree() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: LOOPBACK, port: 0 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/**
 * Calls `launch` with a port to use, and again with the next free one if another program took it meanwhile.
 * @template T
 * @param {PortRequest} request
 * @param {(port: number) => Promise<T>} launch
 * @param {(error: unknown) => boolean} wasTaken
 * @param {(port: number) => boolean | Promise<boolean>} free
 * @returns {Promise<T>}
 */
export async function withPort(request, launch, wasTaken, free = isFree) {
  if (typeof request === "number") return launch(request);
  for (let from = request.from; ;) {
    const port = await firstFree(from, free);
    try {
      return await launch(port);
    } catch (error) {
      if (!wasTaken(error)) throw error;
      from = port + 1;
    }
  }
}

/** @param {string} host @param {number} port @returns {Promise<boolean>} */
function answers(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    /** @param {boolean} answer */
    const settle = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** @param {number} port @returns {Promise<boolean>} */
function canListen(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
