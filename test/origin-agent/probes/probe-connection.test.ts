// The connection of the probes against real sockets: what is kept, what is retried, and what ends a request.
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it, vi } from "vitest";
import { ProbeConnection, type ProbeRequest } from "../../../origin-agent/probes/probe-connection.ts";
import { until } from "../../support/until.ts";
import { interceptDeadlines } from "../support/manual-deadlines.ts";

const ASKED: ProbeRequest = { path: "/slots", apiKey: "k", maxBytes: 1_000, timeoutMs: 30_000, keep: true };
const OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";

interface Peer {
  readonly connection: ProbeConnection;
  /** Every connection that was opened, and what arrived on it. */
  readonly sockets: readonly Socket[];
  readonly received: readonly string[];
  readonly stop: () => Promise<void>;
}

const peers: Peer[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const peer of peers.splice(0)) await peer.stop();
});

/** @param answer called with each request and the number of its connection */
async function peer(answer: (socket: Socket, at: number) => void): Promise<Peer> {
  const sockets: Socket[] = [];
  const received: string[] = [];
  const server: Server = createServer((socket) => {
    const at = sockets.push(socket) - 1;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      received[at] = (received[at] ?? "") + data.toString("latin1");
      answer(socket, at);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const connection = new ProbeConnection(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const stop = async (): Promise<void> => {
    connection.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const made: Peer = { connection, sockets, received, stop };
  peers.push(made);
  return made;
}

const body = "[]";
const answered = { status: 200, body: Buffer.from(body) };

it("a connection is kept for requests that follow soon, and given up with the first that doesn't", async () => {
  const { connection, sockets, received } = await peer((socket) => socket.write(OK));
  for (const keep of [true, true, false, false]) {
    expect(await connection.get({ ...ASKED, keep })).toEqual(answered);
  }
  expect(received.map((text) => text.match(/connection: [-\w]+/g))).toEqual([
    ["connection: Keep-Alive", "connection: Keep-Alive", "connection: close"],
    ["connection: close"],
  ]);
  await until(() => sockets.every((socket) => socket.destroyed));
});

it("two requests at once use two connections, of which one is kept", async () => {
  const { connection, sockets } = await peer((socket) => socket.write(OK));
  const asked = [connection.get(ASKED), connection.get(ASKED)];
  expect(await Promise.all(asked)).toEqual([answered, answered]);
  await until(() => sockets.filter((socket) => socket.destroyed).length === 1);
  await connection.get(ASKED);
  expect(sockets).toHaveLength(2);
});

it("a kept connection that was reset before a byte of the answer is replaced once", async () => {
  const { connection, sockets } = await peer((socket, at) => {
    const isSecond = at === 0 && socket.bytesWritten > 0;
    if (isSecond) socket.resetAndDestroy();
    else socket.write(OK);
  });
  await connection.get(ASKED);
  expect(await connection.get(ASKED)).toEqual(answered);
  expect(sockets).toHaveLength(2);
});

it("a fresh connection that is reset is not replaced", async () => {
  const { connection, sockets } = await peer((socket) => socket.resetAndDestroy());
  expect(await connection.get(ASKED)).toBe("broken");
  expect(sockets).toHaveLength(1);
});

it("a server that has died is refused, with or without a kept connection", async () => {
  const { connection, stop } = await peer((socket) => socket.write(OK));
  await connection.get(ASKED);
  await stop();
  expect(await connection.get(ASKED)).toBe("refused");
  expect(await connection.get(ASKED)).toBe("refused");
});

it("a connection that the server closed after its answer isn't used again", async () => {
  const { connection, sockets } = await peer((socket) => socket.end(OK));
  expect(await connection.get(ASKED)).toEqual(answered);
  await until(() => sockets[0]?.destroyed === true);
  expect(await connection.get(ASKED)).toEqual(answered);
  expect(sockets).toHaveLength(2);
});

it("the time limit ends a request, also one that was sent again, and closes its connection", async () => {
  const { connection, sockets } = await peer((socket, at) => {
    if (at > 0) return passDeadline();
    if (socket.bytesWritten > 0) socket.resetAndDestroy();
    else socket.write(OK);
  });
  await connection.get(ASKED);
  const passDeadline = interceptDeadlines(ASKED.timeoutMs);
  expect(await connection.get(ASKED)).toBe("timeout");
  await until(() => sockets[1]?.destroyed === true);
});

it.each([
  ["in pieces", ["HTTP/1.1 200 OK\r\nConte", "nt-Length: 2\r", "\n\r\n[", "]"]],
  ["without a length, until the connection ends", ["HTTP/1.0 200 OK\r\n\r\n[]"]],
])("an answer that arrives %s is read", async (_, pieces) => {
  const { connection } = await peer((socket) => {
    for (const piece of pieces) socket.write(piece);
    if (pieces.length === 1) socket.end();
  });
  expect(await connection.get(ASKED)).toEqual(answered);
});

it.each([
  ["isn't HTTP", "SSH-2.0-x\r\n\r\n"],
  ["ends within its headers", "HTTP/1.1 200 OK\r\nContent-Le"],
  ["ends before its length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"],
  ["announces too long a body", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"],
  ["has a body that is too long", `HTTP/1.1 200 OK\r\n\r\n${"[".repeat(20_000)}`],
  ["has endless headers", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(5_000)}`],
])("an answer that %s is broken", async (_, text) => {
  const { connection } = await peer((socket) => socket.end(text));
  expect(await connection.get(ASKED)).toBe("broken");
});
