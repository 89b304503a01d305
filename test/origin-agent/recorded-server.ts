// A server that answers a call with the very bytes a real llama-server was recorded with, in pieces of any
// size: what the simulator, whose answers have random ids, can't show.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";

interface Playing {
  readonly status: number;
  /** Begins again with the first piece, until nobody takes it any more. */
  readonly endless: boolean;
  /** Keeps the connection for further calls. */
  readonly keepAlive: boolean;
}

export interface RecordedServer {
  readonly port: number;
  /** Answers the next calls with these pieces, each written by itself. */
  play(contentType: string, pieces: readonly Buffer[], other?: Partial<Playing>): void;
  /** Whether an answer stands still before its end because its reader takes no more of it. */
  heldBack(): boolean;
  /** Calls so far; and those among them that opened a connection although an idle one was there. */
  readonly calls: { count: number; onNeedlessConnections: number };
  close(): Promise<void>;
}

/** What its health is judged by: well, two slots, nothing under way. Every text is seven tokens to it. */
const ASIDE: Readonly<Record<string, unknown>> = {
  "/health": { status: "ok" },
  "/slots": [0, 1].map((id) => ({ id, n_ctx: 2048, speculative: false, is_processing: false })),
  "/v1/completions": { choices: [{ text: "a", index: 0, finish_reason: "length" }] },
  "/tokenize": { tokens: [1, 2, 3, 4, 5, 6, 7] },
};

/** The reader lives in this process too: if it reads at all, it has read within so many turns of the event loop. */
const HELD_BACK_TURNS = 500;

export async function startRecordedServer(): Promise<RecordedServer> {
  let type = "text/plain";
  let playing: readonly Buffer[] = [];
  let how: Playing = { status: 200, endless: false, keepAlive: false };
  const calls = { count: 0, onNeedlessConnections: 0 };
  const idle = new Set<Socket>();
  let turnsWaited = 0;
  const server = createServer((request, response) => {
    void (async () => {
      await whole(request);
      const aside = ASIDE[request.url ?? ""];
      if (aside !== undefined) {
        response.writeHead(200, { "content-type": "application/json; charset=utf-8" });
        response.end(JSON.stringify(aside));
        return;
      }
      const { socket } = request;
      calls.count += 1;
      if (!idle.delete(socket) && idle.size > 0) calls.onNeedlessConnections += 1;
      socket.once("close", () => idle.delete(socket));
      socket.setNoDelay(true);
      response.writeHead(how.status, {
        "content-type": type,
        connection: how.keepAlive ? "keep-alive" : "close",
      });
      for (let at = 0; at < playing.length && !response.destroyed; at += 1) {
        const piece = playing[at] ?? Buffer.alloc(0);
        if (how.endless && at === playing.length - 1) at = -1;
        if (response.write(piece)) {
          await new Promise((resolve) => setImmediate(resolve));
        } else {
          for (; response.writableNeedDrain && !response.destroyed; turnsWaited += 1)
            await new Promise((resolve) => setImmediate(resolve));
          turnsWaited = 0;
        }
      }
      response.end();
      if (how.keepAlive && !socket.destroyed) idle.add(socket);
    })();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    play: (contentType, pieces, { status = 200, endless = false, keepAlive = false } = {}) => {
      type = contentType;
      playing = pieces;
      how = { status, endless, keepAlive };
    },
    calls,
    heldBack: () => turnsWaited > HELD_BACK_TURNS,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function whole(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}
