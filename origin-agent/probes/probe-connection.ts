// Sends GET requests to one llama-server for the probes, at the least cost on both sides: plain HTTP/1.0, whose answers end
// with their announced length or with the connection. Nothing of a failure is kept.
//
// A connection is kept only for requests that follow within milliseconds: llama-server looks at each idle one every
// 10 ms, which costs it ten times as much as accepting a connection once a second.
import { connect, type Socket } from "node:net";

/** Longest header block that is read, in bytes; llama-server's have 200. */
const MAX_HEAD_BYTES = 16 * 1024;

/** The socket's events that have listeners of ours. */
const EVENTS = ["data", "error", "close"] as const;

const HEAD_END = "\r\n\r\n";

/** `broken`: the connection ended early, or the answer is malformed or too long. */
export type ProbeFailure = "refused" | "timeout" | "broken";

export type ProbeAnswer = { readonly status: number; readonly body: Buffer } | ProbeFailure;

export interface ProbeRequest {
  readonly path: string;
  /** Sent as `Authorization: Bearer`; null for none. */
  readonly apiKey: string | null;
  /** The longest body that is read. */
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** Whether the next request follows within milliseconds, so that the connection is kept for it. */
  readonly keep: boolean;
}

export class ProbeConnection {
  readonly #host: string;
  readonly #port: number;
  /** An idle connection. */
  #kept: Socket | null = null;

  /** @param origin `http://127.0.0.1:8085` */
  constructor(origin: string) {
    const { hostname, port } = new URL(origin);
    this.#host = hostname;
    this.#port = Number(port);
  }

  /** Sends a request. The time limit includes connecting. */
  get(request: ProbeRequest): Promise<ProbeAnswer> {
    return new Promise((resolve) => {
      let exchange: ProbeExchange | null = null;
      const timer = setTimeout(() => exchange?.end("timeout"), request.timeoutMs);
      const send = (kept: Socket | null): void => {
        const socket = kept ?? connect({ host: this.#host, port: this.#port, noDelay: true });
        exchange = new ProbeExchange(socket, request, (answer, isStale) => {
          // The server may have closed a kept connection a moment ago: only a fresh one shows whether it lives.
          if (kept !== null && isStale) return send(null);
          clearTimeout(timer);
          this.#release(socket, request.keep && typeof answer === "object");
          resolve(answer);
        });
        exchange.begin(this.#text(request));
      };
      const kept = this.#kept;
      this.#kept = null;
      send(kept);
    });
  }

  close(): void {
    this.#kept?.destroy();
  }

  #text({ path, apiKey, keep }: ProbeRequest): string {
    const key = apiKey === null ? "" : `authorization: Bearer ${apiKey}\r\n`;
    const connection = `connection: ${keep ? "Keep-Alive" : "close"}\r\n`;
    return `GET ${path} HTTP/1.0\r\nhost: ${this.#host}:${this.#port}\r\n${key}${connection}\r\n`;
  }

  #release(socket: Socket, keep: boolean): void {
    for (const event of EVENTS) socket.removeAllListeners(event);
    // An idle connection ends with its server.
    socket.on("error", ignore);
    if (!keep || this.#kept !== null || socket.destroyed) return void socket.destroy();
    this.#kept = socket;
    socket.once("close", () => {
      if (this.#kept === socket) this.#kept = null;
    });
  }
}

/** One request on one socket, until its answer is complete. */
class ProbeExchange {
  readonly #socket: Socket;
  readonly #maxBytes: number;
  readonly #onEnd: (answer: ProbeAnswer, isStale: boolean) => void;
  readonly #parts: Buffer[] = [];
  #bytes = 0;
  /** Null until the headers are complete. `end`: of the body; null if that is the end of the connection. */
  #head: { readonly status: number; readonly start: number; readonly end: number | null } | null = null;
  #over = false;

  /** @param onEnd `isStale`: the connection ended before a byte of the answer */
  constructor(
    socket: Socket,
    { maxBytes }: ProbeRequest,
    onEnd: (answer: ProbeAnswer, isStale: boolean) => void,
  ) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
    this.#onEnd = onEnd;
  }

  begin(text: string): void {
    const socket = this.#socket;
    for (const event of EVENTS) socket.removeAllListeners(event);
    socket.on("data", (part: Buffer) => this.#read(part));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      this.end(error.code === "ECONNREFUSED" ? "refused" : "broken"),
    );
    socket.on("close", () => this.#closed());
    socket.write(text, "latin1");
  }

  end(answer: ProbeAnswer): void {
    if (this.#over) return;
    this.#over = true;
    if (typeof answer === "string") this.#socket.destroy();
    this.#onEnd(answer, answer === "broken" && this.#bytes === 0);
  }

  #read(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
    if (this.#head === null) this.#readHead();
    const { status, start, end } = this.#head ?? { status: 0, start: 0, end: null };
    if (this.#bytes - start > this.#maxBytes + MAX_HEAD_BYTES) return this.end("broken");
    if (end !== null && this.#bytes >= end) this.end({ status, body: this.#all().subarray(start, end) });
  }

  #closed(): void {
    const head = this.#head;
    if (head === null || head.end !== null) return this.end("broken");
    this.end({ status: head.status, body: this.#all().subarray(head.start) });
  }

  #readHead(): void {
    const all = this.#all();
    const length = all.indexOf(HEAD_END);
    if (length < 0) return all.length > MAX_HEAD_BYTES ? this.end("broken") : undefined;
    const head = all.toString("latin1", 0, length);
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
    const bytes = /\ncontent-length: *(\d{1,9}) *(?:\r|$)/i.exec(head)?.[1];
    if (status === undefined || Number(bytes ?? 0) > this.#maxBytes) return this.end("broken");
    const start = length + HEAD_END.length;
    this.#head = { status: Number(status), start, end: bytes === undefined ? null : start + Number(bytes) };
  }

  #all(): Buffer {
    return this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts, this.#bytes);
  }
}

function ignore(): void {
  // It is closed already.
}
