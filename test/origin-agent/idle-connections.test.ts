import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { IdleConnections } from "../../origin-agent/idle-connections.ts";
import { until } from "../support/until.ts";

let now: number;
let server: Server;
let connections: IdleConnections;
/** Requests that wait for their answer. */
let asked: ServerResponse[];
let sockets: Socket[];

beforeEach(async () => {
  [now, asked, sockets] = [0, [], []];
  server = createServer((_, response) => void asked.push(response));
  // Node itself closes none, however long a test takes.
  server.keepAliveTimeout = 0;
  connections = new IdleConnections(server, () => now);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

async function connected(): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  sockets.push(socket);
  socket.resume();
  await once(socket, "connect");
  await until(() => connections.count > 0 || asked.length > 0);
  return socket;
}

async function askOn(socket: Socket): Promise<ServerResponse> {
  const before = asked.length;
  socket.write("GET / HTTP/1.1\r\nhost: agent\r\n\r\n");
  await until(() => asked.length > before);
  return asked.at(-1) as ServerResponse;
}

it("a connection that has had nothing to do for so long is closed", async () => {
  const socket = await connected();
  now = 1_999;
  connections.close(2_000);
  expect(connections.count).toBe(1);
  now = 2_000;
  connections.close(2_000);
  await once(socket, "close");
  await until(() => connections.count === 0);
});

it("a connection with a request is left alone, however old it is", async () => {
  const response = await askOn(await connected());
  expect(connections.count).toBe(0);
  now = 60_000;
  connections.close(2_000);
  response.end("whole");
  await until(() => connections.count === 1);
});

it("one that has just become idle is left for its client's next request", async () => {
  const socket = await connected();
  const response = await askOn(socket);
  now = 60_000;
  response.end("whole");
  await until(() => connections.count === 1);
  connections.close(2_000);
  (await askOn(socket)).end("whole too");
  await until(() => connections.count === 1);
  now = 62_000;
  connections.close(2_000);
  await once(socket, "close");
});

it("none is remembered once it is gone", async () => {
  const idle = await connected();
  const asking = await connected();
  await askOn(asking);
  for (const socket of [idle, asking]) socket.destroy();
  await until(() => connections.count === 0);
});
