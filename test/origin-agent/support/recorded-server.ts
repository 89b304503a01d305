// A server that answers a call with the very bytes a real llama-server was recorded with, in pieces of any
// size: what the simulator, whose answers have random ids, can't show.
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

interface Playing {
  readonly status: number;
  /** Begins again with the first piece, until nobody takes it any more. */
  readonly endless: boolean;
}

export interface RecordedServer {
  readonly port: number;
  /** Answers the next calls with these pieces, each written by itself. */
  play(contentType: string, pieces: readonly Buffer[], other?: Partial<Playing>): void;
  /** Whether nobody has taken anything for a while of an answer that isn't at its end. */
  heldBack(): boolean;
  close(): Promise<void>;
}

/** What its health is judged by: well, two slots, nothing under way. Every text is seven tokens to it. */
const ASIDE: Readonly<Record<string, unknown>> = {
  "/health": { status: "ok" },
  "/slots": [0, 1].map((id) => ({ id, n_ctx: 2048, speculative: false, is_processing: false })),
  "/v1/completions": { choices: [{ text: "a", index: 0, finish_reason: "length" }] },
  "/tokenize": { tokens: [1, 2, 3, 4, 5, 6, 7] },
};

/** Nobody who reads at all takes this long, milliseconds. */
const HELD_BACK_MS = 200;

export async function startRecordedServer(): Promise<RecordedServer> {
  let type = "text/plain";
  let playing: readonly Buffer[] = [];
  let how: Playing = { status: 200, endless: false };
  let waitingSince: number | null = null;
  const server = createServer((request, response) => {
    void (async () => {
      await whole(request);
      const aside = ASIDE[request.url ?? ""];
      if (aside !== undefined) {
        response.writeHead(200, { "content-type": "application/json; charset=utf-8" });
        response.end(JSON.stringify(aside));
        return;
      }
      response.socket?.setNoDelay(true);
      const closed = once(response, "close");
      response.writeHead(how.status, { "content-type": type, connection: "close" });
      for (let at = 0; at < playing.length && !response.destroyed; at += 1) {
        const piece = playing[at] ?? Buffer.alloc(0);
        if (how.endless && at === playing.length - 1) at = -1;
        if (response.write(piece)) {
          await new Promise((resolve) => setImmediate(resolve));
        } else {
          waitingSince = performance.now();
          await Promise.race([once(response, "drain"), closed]);
          waitingSince = null;
        }
      }
      response.end();
    })();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    play: (contentType, pieces, { status = 200, endless = false } = {}) => {
      type = contentType;
      playing = pieces;
      how = { status, endless };
    },
    heldBack: () => waitingSince !== null && performance.now() - waitingSince > HELD_BACK_MS,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function whole(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}
