// The answer of an agent's `/healthz`, which the edge reads of a box that never linked: which of its servers can take a
// call now.
import * as z from "zod/mini";
import type { LinkState } from "./wire.ts";

/** `down`: nothing listens. `loading`: it answers 503 while its weights load. `ready`: it takes calls. */
export const ServerState = z.enum(["down", "loading", "ready"]);
export type ServerState = z.infer<typeof ServerState>;

/** A slow server takes calls; a stalled one doesn't. */
export const SERVER_STATES: Readonly<Record<LinkState, ServerState>> = {
  ready: "ready",
  slow: "ready",
  loading: "loading",
  down: "down",
  stalled: "down",
};

export const BoxHealth = z.object({
  box: z.string(),
  version: z.string(),
  /** Some of its servers or its cards are simulated; absent if none is, and from an older agent. */
  simulated: z.optional(z.boolean()),
  servers: z.array(z.object({ port: z.int(), model: z.string(), state: ServerState })),
});
export type BoxHealth = z.infer<typeof BoxHealth>;
