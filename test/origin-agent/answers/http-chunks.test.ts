// Checks that our own chunks produce the same bytes as Node's, and end the same way.
import { createServer, type RequestListener } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import {
  canChunk,
  endChunks,
  disableNodeChunks,
  writeChunk,
} from "../../../origin-agent/answers/http-chunks.ts";

const PIECES = [
  "data: ä€😀\n\n",
  Buffer.from("data: ä€😀\n\n"),
  "",
  Buffer.alloc(0),
  Buffer.alloc(70_000, "x"),
];

/** Everything that one connection returns for `requests`, without the date. */
async function answered(listener: RequestListener, requests: string): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.write(requests);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  server.close();
  return Buffer.concat(parts)
    .toString("utf8")
    .replaceAll(/Date: .*\r\n/g, "");
}

const ours =
  (last?: string): RequestListener =>
  (_, response) => {
    expect(canChunk(response)).toBe(true);
    response.writeHead(200, { "transfer-encoding": "chunked" });
    disableNodeChunks(response);
    for (const piece of PIECES) writeChunk(response, piece);
    endChunks(response, last);
  };
const nodes =
  (last?: string): RequestListener =>
  (_, response) => {
    response.writeHead(200, { "transfer-encoding": "chunked" });
    for (const piece of PIECES) if (piece.length > 0) response.write(piece);
    if (last !== undefined) response.write(last);
    response.end();
  };

const GET = "GET / HTTP/1.1\r\nhost: a\r\n";
/** Two requests on one connection: the second shows that the first one's end was recognized. */
const TWICE = `${GET}\r\n${GET}connection: close\r\n\r\n`;

describe("our own chunks", () => {
  it.each([undefined, "data: the last, ä\n\n"])(
    "equal Node's, byte for byte, to the end (%s)",
    async (last) => {
      expect(await answered(ours(last), TWICE)).toBe(await answered(nodes(last), TWICE));
    },
  );

  it("aren't used for a client whose HTTP version has no chunks", async () => {
    const said = await answered(
      (_, response) => response.end(String(canChunk(response))),
      "GET / HTTP/1.0\r\n\r\n",
    );
    expect(said).toMatch(/\r\n\r\nfalse$/);
  });
});
