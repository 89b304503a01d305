// Answers calls with bytes recorded from a real llama-server, in pieces of any size. The simulator can't do this,
// because its answers have random ids.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";

interface Playing {
  readonly status: number;
  /** Repeats all pieces until the reader disconnects. */
  readonly endless: boolean;
  /** Keeps the connection open for further calls. */
  readonly keepAlive: boolean;
  /** A path of the probes on which it answers calls, too. */
  readonly path: string | null;
}

export interface RecordedServer {
  readonly port: number;
  /** Answers the next calls with these pieces, each written separately. */
  play(contentType: string, pieces: readonly Buffer[], other?: Partial<Playing>): void;
  /** Whether an answer is paused because its reader doesn't read. */
  isPaused(): boolean;
  /** Calls so far, and how many opened a connection although an idle one existed. */
  readonly calls: { count: number; onNeedlessConnections: number };
  close(): Promise<void>;
}

/** Answers to the probes: healthy, two idle slots. Every text counts as seven tokens. */
const PROBE_ANSWERS: Readonly<Record<string, unknown>> = {
  "/health": { status: "ok" },
  "/slots": [0, 1].map((id) => ({ id, n_ctx: 2048, speculative: false, is_processing: false })),
  "/v1/completions": { choices: [{ text: "a", index: 0, finish_reason: "length" }] },
  "/tokenize": { tokens: [1, 2, 3, 4, 5, 6, 7] },
};

/** The reader runs in this process too: if it reads at all, it has read after this many event loop turns. */
const PAUSED_TURNS = 500;

export async function startRecordedServer(): Promise<RecordedServer> {
  let type = "text/plain";
  let playing: readonly Buffer[] = [];
  let how: Playing = { status: 200, endless: false, keepAlive: false, path: null };
  const calls = { count: 0, onNeedlessConnections: 0 };
  const idle = new Set<Socket>();
  let turnsWaited = 0;
  const server = createServer((request, response) => {
    void (async () => {
      await readBody(request);
      const probeAnswer = request.url === how.path ? undefined : PROBE_ANSWERS[request.url ?? ""];
      if (probeAnswer !== undefined) {
        response.writeHead(200, { "content-type": "application/json; charset=utf-8" });
        response.end(JSON.stringify(probeAnswer));
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
    play: (contentType, pieces, { status = 200, endless = false, keepAlive = false, path = null } = {}) => {
      type = contentType;
      playing = pieces;
      how = { status, endless, keepAlive, path };
    },
    calls,
    isPaused: () => turnsWaited > PAUSED_TURNS,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readBody(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}
