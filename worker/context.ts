// Types of the variables that the middleware sets on a request.
import type { Result } from "../shared/errors.ts";
import type { Principal } from "../shared/principal.ts";
import type { Bindings, Settings } from "./env.ts";
import type { RefusalLog } from "./failures/refusal-log.ts";
import type { FleetSnapshot } from "./fleet/snapshot.ts";

export interface Variables {
  /** The edge's own id; it is in every answer and log line. */
  requestId: string;
  refusals: RefusalLog;
  /** Headers of the request's answer, whatever it is. */
  answerHeaders: Record<string, string>;
  /** Of a model call: limits its phases. */
  timer: { readonly limit: <T>(work: Promise<T>, ms: number) => Promise<T | null> };
  /** The answer that has them already. */
  builtAnswer: Response;
  settings: Settings;
  /** Set by `authenticate`. */
  principal: Principal;
  /** Key id of a request that was refused before its principal was set. */
  refusedKey: string;
  /** Set for model calls. */
  snapshot: FleetSnapshot | Promise<FleetSnapshot>;
  /** Read while the limiters are called; set on routes with a body. */
  body: Promise<Result<Uint8Array>>;
}

export interface EdgeEnv {
  Bindings: Bindings;
  Variables: Variables;
}
