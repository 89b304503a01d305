// Loads the three parts of undici that the agent uses, each from its own file: `undici` itself also loads fetch,
// WebSocket, caches and mocks, 14 MB that the agent never needs. The version is pinned, so the paths are stable.
import { createRequire } from "node:module";
import type * as undici from "undici";

const load = createRequire(import.meta.url);

export const Client = load("undici/lib/dispatcher/client.js") as typeof undici.Client;
export const Pool = load("undici/lib/dispatcher/pool.js") as typeof undici.Pool;

const requestBy = load("undici/lib/api/api-request.js") as (
  this: undici.Dispatcher,
  options: undici.Dispatcher.RequestOptions,
) => Promise<undici.Dispatcher.ResponseData>;

/** Sends one request on its own connection and closes it afterwards. */
export function request(
  url: string,
  options: Omit<undici.Dispatcher.RequestOptions, "origin" | "path">,
): Promise<undici.Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url);
  const client = new Client(origin);
  const answer = requestBy.call(client, { ...options, path: pathname + search, reset: true });
  // Closes once the request is over.
  void client.close();
  return answer;
}
