// Puts a simulated server together: its socket, its life (loading, refusing, ending), its state for tests.
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as setTimeoutPromise } from "node:timers/promises";
import { Conversations } from "./conversations.ts";
import { now } from "./dialect.ts";
import { countRequest, Exchange } from "./exchange.ts";
import { slotContext } from "./flags.ts";
import type { Settings } from "./flags.ts";
import { Ledger } from "./ledger.ts";
import { route } from "./routes.ts";
import type { Sim } from "./sim.ts";
import { SlotPool } from "./slots.ts";
import { SwitchBoard } from "./switches.ts";
import { Vocabulary } from "./tokens.ts";

/** The pause before a port that is in use is tried again. */
const PORT_RETRY_MS = 20;

export class LlamaServer {
  readonly #sim: Sim;
  readonly #http = createServer((req, res) => this.#arrive(req, res));
  #settled: Promise<void> = Promise.resolve();
  readonly #sockets = new Set<Socket>();
  #port: number;
  #ending = false;
  #loading: NodeJS.Timeout | undefined;

  constructor(settings: Settings) {
    const board = new SwitchBoard(settings.switches);
    this.#port = settings.port;
    this.#sim = {
      settings,
      board,
      pool: new SlotPool(settings.parallel, slotContext(settings), board),
      ledger: new Ledger(),
      vocabulary: new Vocabulary(),
      conversations: new Conversations(),
      startedAt: now(),
      loading: settings.loadMs > 0,
    };
    this.#http.keepAliveTimeout = board.current.keepAliveMs;
    this.#http.requestTimeout = 0;
    this.#http.headersTimeout = 0;
    this.#http.on("connection", (socket: Socket) => this.#connect(socket));
    board.onChange(({ keepAliveMs }) => {
      this.#http.keepAliveTimeout = keepAliveMs;
      this.#settled = this.#settled.then(() => this.#listenAsSwitched());
    });
  }

  /** Listens, and starts to load. Resolves with the port; with `refuse` switched on nothing listens yet. */
  async start(): Promise<number> {
    const { settings, board } = this.#sim;
    await this.#listen();
    if (board.current.refuse) this.#http.close();
    if (settings.loadMs > 0) {
      this.#loading = setTimeout(() => (this.#sim.loading = false), settings.loadMs);
    }
    return this.#port;
  }

  /** Once it listens, or doesn't, as was switched last. */
  settled(): Promise<void> {
    return this.#settled;
  }

  /** Closes the socket and every connection, for a server that is no process of its own. */
  async close(): Promise<void> {
    this.#ending = true;
    clearTimeout(this.#loading);
    await this.#settled;
    await new Promise<void>((resolve) => {
      this.#http.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  get sim(): Sim {
    return this.#sim;
  }

  state(): Record<string, unknown> {
    const { board, ledger, pool, loading } = this.#sim;
    return {
      switches: board.current,
      loading: loading || board.current.loading,
      ending: this.#ending,
      openSockets: this.#sockets.size,
      generating: pool.processing,
      deferred: pool.deferred,
      requestsByRoute: ledger.requestsByRoute,
      finished: ledger.finished,
      received: ledger.received,
    };
  }

  /**
   * SIGTERM: nothing new is taken, streams go silent with their sockets open, and some time later the process
   * ends (transcript "terminated-mid-stream"). Without work it ends at once.
   */
  terminate(): void {
    const { board, pool } = this.#sim;
    if (board.current.ignoreSigterm) return;
    this.#ending = true;
    pool.frozen = true;
    this.#http.close();
    const busy = pool.processing + pool.deferred > 0;
    setTimeout(() => process.exit(0), busy ? board.current.sigtermGraceMs : 0);
  }

  async #listen(): Promise<void> {
    const { host } = this.#sim.settings;
    await new Promise<void>((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(this.#port, host, () => {
        this.#http.off("error", reject);
        resolve();
      });
    });
    this.#port = (this.#http.address() as AddressInfo).port;
  }

  async #listenAsSwitched(): Promise<void> {
    const { refuse } = this.#sim.board.current;
    if (refuse && this.#http.listening) this.#http.close();
    if (refuse || this.#http.listening || this.#ending) return;
    try {
      await this.#listen();
    } catch (error) {
      // Any connection of the machine may have the port as its own end for a moment.
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      await setTimeoutPromise(PORT_RETRY_MS);
      await this.#listenAsSwitched();
    }
  }

  #connect(socket: Socket): void {
    if (this.#sim.board.current.reset) {
      socket.resetAndDestroy();
      return;
    }
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #arrive(req: IncomingMessage, res: ServerResponse): void {
    const { board, ledger } = this.#sim;
    const parts: Buffer[] = [];
    // The reset comes before a byte of the answer, so that sending the request again is safe.
    if (countRequest(req.socket) > 1 && board.current.staleKeepAlive) {
      req.socket.resetAndDestroy();
      return;
    }
    req.on("data", (part: Buffer) => parts.push(part));
    req.once("end", () => {
      const exchange = new Exchange(req, res, Buffer.concat(parts), board);
      const headers = Object.fromEntries(
        Object.entries(req.headers).map(([name, value]) => [name, String(value)]),
      );
      const { method = "GET", url = "" } = req;
      ledger.receive({ at: Date.now(), method, path: url, headers, body: exchange.text });
      route(this.#sim, exchange);
    });
  }
}
