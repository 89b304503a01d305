// One request and its answer on the wire: llama-server's headers in its order and spelling, its manner of
// keeping and closing connections, and the ways the switches break them. Shapes: every transcript's headers.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { ApiError } from "./errors.ts";
import type { SwitchBoard } from "./switches.ts";

/** A connection is closed after this many requests, and the header says so from the start. */
const MAX_REQUESTS = 100;
/** What the header says; when an idle connection really closes is the switch `keepAliveMs`. */
const KEEP_ALIVE_SECONDS = 5;
/** The pause between the two halves of a character that is split between writes. */
const SPLIT_MS = 3;

const JSON_TYPE = "application/json; charset=utf-8";

const served = new WeakMap<Socket, number>();

/** Counts a request on its connection; the number of it, from 1. */
export function countRequest(socket: Socket): number {
  const count = (served.get(socket) ?? 0) + 1;
  served.set(socket, count);
  return count;
}

export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly board: SwitchBoard;
  #held: Buffer | null = null;
  #ended = false;

  constructor(req: IncomingMessage, res: ServerResponse, body: Buffer, board: SwitchBoard) {
    const [path = "", query = ""] = (req.url ?? "").split("?", 2);
    this.req = req;
    this.res = res;
    this.body = body;
    this.board = board;
    this.path = path;
    this.query = new URLSearchParams(query);
    res.sendDate = false;
  }

  get text(): string {
    return this.body.toString("utf8");
  }

  get headersSent(): boolean {
    return this.res.headersSent;
  }

  /** Runs `gone` when the connection closes before the answer is complete. */
  onLeave(gone: () => void): void {
    this.res.once("close", () => {
      if (!this.#ended) gone();
    });
  }

  json(body: string, status = 200): void {
    this.answer(status, JSON_TYPE, Buffer.from(body));
  }

  error(error: ApiError): void {
    this.json(error.body(), error.status);
  }

  answer(status: number, type: string, body: Buffer, extra: [string, string][] = []): void {
    if (this.res.headersSent || this.res.destroyed) return;
    this.#head(status, [...extra, ["Content-Type", type], ["Content-Length", String(body.length)]]);
    this.#ended = true;
    const at = this.board.current.splitUtf8 ? splitPoint(body) : 0;
    if (at === 0) {
      this.res.end(body);
      return;
    }
    this.res.write(body.subarray(0, at));
    this.#sendLater(() => this.res.end(body.subarray(at)));
  }

  /** A body that stops in its middle though its length promised more. */
  answerHalf(body: Buffer): void {
    this.#head(200, [
      ["Content-Type", JSON_TYPE],
      ["Content-Length", String(body.length)],
    ]);
    this.res.write(body.subarray(0, Math.ceil(body.length / 2)));
  }

  /** Sends a stream's headers; they go out with the first event, as the real ones do. */
  openStream(type = "text/event-stream"): void {
    if (this.res.headersSent) return;
    this.#head(200, [
      ["X-Accel-Buffering", "no"],
      ["Content-Type", type],
      ["Transfer-Encoding", "chunked"],
    ]);
  }

  write(text: string): void {
    if (text !== "") this.writeBytes(Buffer.from(text));
  }

  writeBytes(event: Buffer): void {
    if (this.res.destroyed) return;
    this.openStream();
    let bytes = event;
    if (this.#held) {
      bytes = Buffer.concat([this.#held, bytes]);
      this.#held = null;
    }
    const at = this.board.current.splitUtf8 ? splitPoint(bytes) : 0;
    if (at === 0) {
      this.res.write(bytes);
      return;
    }
    this.res.write(bytes.subarray(0, at));
    this.#held = bytes.subarray(at);
    this.#sendLater(() => this.#flush());
  }

  /** Ends a stream. The connection is closed although its header said keep-alive (README, "Keep-alive"). */
  endStream(): void {
    this.#flush();
    this.#ended = true;
    const { socket } = this.res;
    this.res.end(() => socket?.destroySoon());
  }

  /** Writes bytes past the HTTP layer. */
  raw(bytes: string | Buffer): void {
    this.res.socket?.write(bytes);
  }

  /** Breaks the connection; what was written before still arrives. */
  breakOff(): void {
    this.#ended = true;
    const { socket } = this.res;
    socket?.end(() => socket.destroy());
  }

  /** Resets the connection: ECONNRESET at the client. */
  reset(): void {
    this.#ended = true;
    this.res.socket?.resetAndDestroy();
  }

  /** Sends the second piece after a pause, and not while `holdSplit` is on. */
  #sendLater(send: () => void): void {
    setTimeout(() => {
      if (this.res.destroyed) return;
      if (this.board.current.holdSplit) this.#sendLater(send);
      else send();
    }, SPLIT_MS);
  }

  #flush(): void {
    if (!this.#held || this.res.destroyed) return;
    this.res.write(this.#held);
    this.#held = null;
  }

  #head(status: number, headers: [string, string][]): void {
    const { req, res } = this;
    const asked = req.headers.connection?.toLowerCase() === "close";
    const worn = (served.get(req.socket) ?? 0) >= MAX_REQUESTS;
    const closes = asked || worn || status >= 400 || !this.board.current.keepAlive;
    res.statusCode = status;
    res.setHeader("Server", "llama.cpp");
    res.setHeader("Access-Control-Allow-Origin", req.headers.origin ?? "");
    for (const [name, value] of headers) res.setHeader(name, value);
    if (closes) {
      res.setHeader("Connection", "close");
    } else {
      // Without this Node adds `Connection: keep-alive`, which the real program doesn't send.
      res.removeHeader("Connection");
      res.setHeader("Keep-Alive", `timeout=${KEEP_ALIVE_SECONDS}, max=${MAX_REQUESTS}`);
    }
  }
}

/** Where to cut so that a character of several bytes is torn apart; 0 if there is none. */
function splitPoint(bytes: Buffer): number {
  return bytes.findIndex((byte) => byte >= 0xc2) + 1;
}
