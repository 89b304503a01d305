// The two parts of undici that the agent uses, each from its own file: what `undici` itself loads beside them (fetch,
// WebSocket, caches, mocks) is 14 MB that no agent ever needs. The version is pinned, and every call passes here.
import { createRequire } from "node:module";
import type * as undici from "undici";

const load = createRequire(import.meta.url);

export const Client = load("undici/lib/dispatcher/client.js") as typeof undici.Client;
export const Pool = load("undici/lib/dispatcher/pool.js") as typeof undici.Pool;

const requestBy = load("undici/lib/api/api-request.js") as (
  this: undici.Dispatcher,
  options: undici.Dispatcher.RequestOptions,
) => Promise<undici.Dispatcher.ResponseData>;

/** One request on a connection of its own, which ends with it. */
export function request(
  url: string,
  options: Omit<undici.Dispatcher.RequestOptions, "origin" | "path">,
): Promise<undici.Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url);
  const client = new Client(origin);
  const answer = requestBy.call(client, { ...options, path: pathname + search, reset: true });
  // Waits for the request, then lets the connection go.
  void client.close();
  return answer;
}
