// The sockets to the llama-servers: one undici pool per server, and the outcome of each request. It handles bytes and
// failures; `calls/` decides what a failure means.
import type { Dispatcher, Pool as PoolType } from "undici";
import type { Box, Server } from "../../shared/fleet.ts";
import { CONNECT_TIMEOUT_MS, UPSTREAM_KEEP_ALIVE_MS } from "../../shared/limits.ts";
import type { ServerProcess } from "../probes/pm2.ts";
import { Client, Pool } from "../probes/undici-parts.ts";

/**
 * How a request ended without a whole answer.
 * - `refused`: nothing listens on the port.
 * - `unconnected`: no connection was made for another reason, such as a timeout; the server saw nothing either.
 * - `unanswered`: a reused connection was closed before a byte of the answer. llama-server closes connections that it
 *   announced as keep-alive after each streamed answer, so the server may have seen nothing.
 * - `broken`: the connection broke on a request that the server may have begun.
 */
export type UpstreamFailure = "refused" | "unconnected" | "unanswered" | "broken";

/** Receives `sent`, then an answer in order: one `head`, any `data`, then `end`; or `failed` or `threw` at any point. */
export interface AnswerListener {
  /** The request is being written: from then on the server may work on it. */
  sent(): void;
  head(status: number, contentType: string): void;
  /** @returns false to pause until `resume()`. */
  data(chunk: Buffer): boolean;
  end(): void;
  failed(failure: UpstreamFailure): void;
  /** One of the listener's own methods threw this; the request was aborted. */
  threw(error: unknown): void;
}

/** Number of requests on a connection; a connection's first request can't be stale. */
interface ConnectionUse {
  requests: number;
}

/** Counts the requests of each connection: undici doesn't report whether a socket was fresh. */
class CountedClient extends Client {
  #use: ConnectionUse = { requests: 0 };

  constructor(origin: URL, options: object) {
    super(origin, options);
    this.on("connect", () => {
      this.#use = { requests: 0 };
    });
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (handler instanceof Exchange) handler.connectionUse = () => this.#use;
    return super.dispatch(options, handler);
  }
}

/** One request to a server, from sending to the last byte. After `abort` its listener is not called again. */
export class Exchange implements Dispatcher.DispatchHandler {
  connectionUse: () => ConnectionUse = () => ({ requests: 0 });
  readonly #listener: AnswerListener;
  #controller: Dispatcher.DispatchController | null = null;
  #reused = false;
  #answered = false;
  #over = false;

  constructor(listener: AnswerListener) {
    this.#listener = listener;
  }

  /** Ends the request; llama-server frees the slot once it sees the socket closed. */
  abort(): void {
    if (!this.#finish()) return;
    this.#controller?.abort(new Error("aborted"));
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    const use = this.connectionUse();
    this.#reused = use.requests > 0;
    use.requests += 1;
    if (this.#over) controller.abort(new Error("aborted"));
    else this.#pass(() => this.#listener.sent());
  }

  /** The first byte of the answer arrived, before its headers: the server has worked on the request. */
  onResponseStarted(): void {
    this.#answered = true;
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (!this.#over) this.#pass(() => this.#listener.head(status, String(headers["content-type"] ?? "")));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return;
    // Not through `#pass`: this runs for every event of a stream.
    try {
      if (!this.#listener.data(chunk)) controller.pause();
    } catch (error) {
      this.#threw(error);
    }
  }

  onResponseEnd(): void {
    if (this.#finish()) this.#pass(() => this.#listener.end());
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#finish()) this.#pass(() => this.#listener.failed(this.#failure(error)));
  }

  #failure(error: Error): UpstreamFailure {
    if (this.#controller === null) {
      return "code" in error && error.code === "ECONNREFUSED" ? "refused" : "unconnected";
    }
    return this.#reused && !this.#answered ? "unanswered" : "broken";
  }

  #pass(event: () => void): void {
    try {
      event();
    } catch (error) {
      this.#threw(error);
    }
  }

  #threw(error: unknown): void {
    this.abort();
    this.#listener.threw(error);
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    return true;
  }
}

/** One llama-server of this box. */
export class Upstream {
  readonly server: Server;
  readonly simulated: boolean;
  readonly origin: string;
  /** How PM2 lists it. */
  readonly process: ServerProcess;
  readonly #pool: PoolType;
  readonly #authorization: string;

  constructor(
    server: Server,
    address: { readonly port: number; readonly simulated: boolean; readonly apiKey: string },
  ) {
    this.server = server;
    this.simulated = address.simulated;
    this.origin = `http://127.0.0.1:${address.port}`;
    this.process = { name: server.pm2, port: address.port };
    this.#authorization = `Bearer ${address.apiKey}`;
    this.#pool = new Pool(this.origin, {
      ...connectionOptions(),
      factory: (origin, options) => new CountedClient(origin, options),
    });
  }

  /**
   * Sends a request with the headers below and no others: llama-server keeps streams under a client's
   * X-Conversation-Id and would replay them to others.
   * @param request.fresh uses a new connection, for a retry after a stale one.
   */
  send(
    request: {
      readonly path: string;
      readonly body: Buffer;
      readonly stream: boolean;
      readonly fresh: boolean;
    },
    listener: AnswerListener,
  ): Exchange {
    const exchange = new Exchange(listener);
    const options: Dispatcher.DispatchOptions = {
      method: "POST",
      path: request.path,
      body: request.body,
      headers: {
        "content-type": "application/json",
        accept: request.stream ? "text/event-stream" : "application/json",
        authorization: this.#authorization,
      },
    };
    if (request.fresh) {
      const client = new Client(this.origin, connectionOptions());
      client.dispatch(options, exchange);
      // Closes the connection after the request.
      void client.close();
    } else {
      this.#pool.dispatch(options, exchange);
    }
    return exchange;
  }

  /** Sends a small request of our own, reads the answer to its end, and returns the outcome. */
  ask(
    path: string,
    body: object,
    timeoutMs: number,
  ): Promise<"answered" | "timeout" | "refused" | "loading" | "broken" | "error"> {
    return new Promise((resolve) => {
      let status = 0;
      const exchange = this.send(
        { path, body: Buffer.from(JSON.stringify(body)), stream: false, fresh: true },
        {
          sent: () => undefined,
          head: (code) => {
            status = code;
          },
          data: () => true,
          end: () => {
            clearTimeout(timer);
            resolve(status === 200 ? "answered" : status === 503 ? "loading" : "error");
          },
          failed: (failure) => {
            clearTimeout(timer);
            resolve(failure === "refused" ? "refused" : failure === "unconnected" ? "timeout" : "broken");
          },
          threw: () => resolve("broken"),
        },
      );
      const timer = setTimeout(() => {
        exchange.abort();
        resolve("timeout");
      }, timeoutMs);
    });
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}

/** undici's own timeouts are off: an answer may take minutes, and the agent has its own deadlines. */
function connectionOptions(): PoolType.Options {
  return {
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: UPSTREAM_KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    pipelining: 1,
  };
}

/** Opens the upstreams of a box, by the fleet file's ports. */
export function openUpstreams(
  box: Box,
  settings: {
    readonly llamaApiKey: string;
    readonly upstreamPorts: ReadonlyMap<number, number>;
    readonly simulatedPorts: ReadonlySet<number>;
  },
): ReadonlyMap<number, Upstream> {
  return new Map(
    box.servers.map((server) => [
      server.port,
      new Upstream(server, {
        port: settings.upstreamPorts.get(server.port) ?? server.port,
        simulated: settings.simulatedPorts.has(server.port),
        apiKey: settings.llamaApiKey,
      }),
    ]),
  );
}
