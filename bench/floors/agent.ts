// The floor under the agent: what any pass-through on node:http and undici costs. It checks, reads and
// changes nothing. It prints its address as one JSON line.
import { createServer, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { Pool, type Dispatcher } from "undici";

const { values } = parseArgs({ options: { origin: { type: "string", default: "" } } });
const pool = new Pool(values.origin, { headersTimeout: 0, bodyTimeout: 0 });

const server = createServer((request, response) => {
  const received: Buffer[] = [];
  request.on("data", (bytes: Buffer) => received.push(bytes));
  request.on("end", () => {
    const body = Buffer.concat(received);
    const headers = { "content-type": "application/json" };
    pool.dispatch({ method: "POST", path: request.url ?? "/", headers, body }, new PassOn(response));
  });
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : null }));
});

/** undici's lowest layer, which has no stream objects: anything above it would make the floor too high. */
class PassOn implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** undici wants one. */
  onRequestStart(): void {}

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#response.on("drain", () => controller.resume());
    const kept = ["content-type", "content-length"].filter((name) => headers[name] !== undefined);
    this.#response.writeHead(status, Object.fromEntries(kept.map((name) => [name, String(headers[name])])));
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.#response.write(bytes)) controller.pause();
  }

  onResponseEnd(): void {
    this.#response.end();
  }

  onResponseError(): void {
    this.#response.destroy();
  }
}
