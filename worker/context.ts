// What travels with a request through the edge's chains: Hono's variables, typed.
import type { Result } from "../shared/errors.ts";
import type { Principal } from "../shared/principal.ts";
import type { Bindings, Settings } from "./env.ts";
import type { LiveFleet } from "./fleet/snapshot.ts";

export interface Variables {
  /** Ours; in every answer and log line. */
  requestId: string;
  settings: Settings;
  /** Set by the `client` chain. */
  principal: Principal;
  /** Whose request was refused before there was a principal. */
  refusedKey: string;
  /** What the boxes last said; set for calls to the models. */
  live: LiveFleet | Promise<LiveFleet>;
  /** The body on its way in, begun before anybody waited for the limiters; set where a route takes one. */
  body: Promise<Result<Uint8Array>>;
}

export interface EdgeEnv {
  Bindings: Bindings;
  Variables: Variables;
}
