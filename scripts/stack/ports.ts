// Finds free TCP ports. A port that is free now may be taken a moment later, so the caller that
// uses one still has to cope with "address in use".
import { connect, createServer } from "node:net";

const LOOPBACK = "127.0.0.1";
const HIGHEST = 65_535;

/** A port to use: exactly this one (0: any free one), or the first free one from there on. */
export type PortRequest = number | { from: number };

export async function isFree(port: number) {
  // Listening alone doesn't tell: some systems let a loopback socket in beside one that listens everywhere.
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

/** A port that is free at this moment, any. */
export function anyFree(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: LOOPBACK, port: 0 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Calls `launch` with a port to use, and again with the next free one if another program took it meanwhile. */
export async function withPort<T>(
  request: PortRequest,
  launch: (port: number) => Promise<T>,
  wasTaken: (error: unknown) => boolean,
  free: (port: number) => boolean | Promise<boolean> = isFree,
): Promise<T> {
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

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
