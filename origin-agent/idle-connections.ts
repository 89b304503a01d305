// Since when each of a server's connections has had nothing to do. Node's own way of closing idle ones takes also those
// that became idle this very moment, whose client may have its next request on the way.
import type { Server } from "node:http";
import type { Socket } from "node:net";

export class IdleConnections {
  readonly #clock: () => number;
  readonly #since = new Map<Socket, number>();

  /** @param clock monotonic, milliseconds. */
  constructor(server: Server, clock: () => number) {
    this.#clock = clock;
    server.on("connection", (socket: Socket) => {
      this.#since.set(socket, clock());
      socket.once("close", () => this.#since.delete(socket));
    });
    server.on("request", ({ socket }, response) => {
      this.#since.delete(socket);
      response.once("close", () => {
        if (!socket.destroyed) this.#since.set(socket, clock());
      });
    });
  }

  /** Connections that have nothing to do. */
  get count(): number {
    return this.#since.size;
  }

  /** Closes those that have had nothing to do for so long, milliseconds. */
  close(idleForMs: number): void {
    const now = this.#clock();
    for (const [socket, since] of this.#since) if (now - since >= idleForMs) socket.destroy();
  }
}
