// Tracks how long each of a server's connections has been idle. Node's own `closeIdleConnections` also closes
// connections that became idle just now, whose client may already be sending its next request.
import type { Server } from "node:http";
import type { Socket } from "node:net";

export class IdleConnections {
  readonly #clock: () => number;
  readonly #idleSince = new Map<Socket, number>();

  /** @param clock monotonic, in ms. */
  constructor(server: Server, clock: () => number) {
    this.#clock = clock;
    server.on("connection", (socket: Socket) => {
      this.#idleSince.set(socket, clock());
      socket.once("close", () => this.#idleSince.delete(socket));
    });
    server.on("request", ({ socket }, response) => {
      this.#idleSince.delete(socket);
      response.on("close", () => {
        if (!socket.destroyed) this.#idleSince.set(socket, clock());
      });
    });
  }

  /** The number of idle connections. */
  get count(): number {
    return this.#idleSince.size;
  }

  /** Closes connections that have been idle for at least `idleForMs`. */
  close(idleForMs: number): void {
    const now = this.#clock();
    for (const [socket, idleSince] of this.#idleSince) if (now - idleSince >= idleForMs) socket.destroy();
  }
}
