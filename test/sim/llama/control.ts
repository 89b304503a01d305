// The control port: what tests read and switch, apart from the simulated server's own port, which stays
// exactly llama-server's.
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { SwitchError } from "./switches.ts";

export interface Controlled {
  state(): unknown;
  /** Resolves once it holds: whoever asks next meets it. */
  switch(change: unknown): Promise<void>;
  forget(): void;
}

/** `GET /state`, `POST /switches`, `POST /forget`, `POST /die`. */
export function controlServer(controlled: Controlled): Server {
  // A connection is never closed on its own: after a pause of this process a test's request would meet a reset.
  return createServer({ keepAliveTimeout: 0 }, (req, res) => {
    void answer(controlled, req, res);
  });
}

async function answer(controlled: Controlled, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const reply = (status: number, body: unknown): void => {
    res.writeHead(status, { "content-type": "application/json" });
    res.end(JSON.stringify(body));
  };
  switch (`${req.method} ${req.url}`) {
    case "GET /state":
      reply(200, controlled.state());
      return;
    case "POST /switches":
      try {
        await controlled.switch(JSON.parse(await text(req)));
        reply(200, controlled.state());
      } catch (error) {
        if (!(error instanceof SwitchError || error instanceof SyntaxError)) throw error;
        reply(400, { error: error.message });
      }
      return;
    case "POST /forget":
      controlled.forget();
      reply(200, controlled.state());
      return;
    case "POST /die":
      process.kill(process.pid, "SIGKILL");
      return;
    default:
      reply(404, { error: "GET /state, POST /switches, POST /forget, POST /die" });
  }
}

async function text(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of req) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}
