// Types the Hono variables that the middleware sets on a request.
import type { Result } from "../shared/errors.ts";
import type { Principal } from "../shared/principal.ts";
import type { Bindings, Settings } from "./env.ts";
import type { FleetSnapshot } from "./fleet/snapshot.ts";

export interface Variables {
  /** Ours; appears in every answer and log line. */
  requestId: string;
  settings: Settings;
  /** Set by `authenticate`. */
  principal: Principal;
  /** Key id of a request that was refused before its principal was set. */
  refusedKey: string;
  /** Set for calls to the models. */
  snapshot: FleetSnapshot | Promise<FleetSnapshot>;
  /** The body, read while the limiters are asked; set on routes that take one. */
  body: Promise<Result<Uint8Array>>;
}

export interface EdgeEnv {
  Bindings: Bindings;
  Variables: Variables;
}
