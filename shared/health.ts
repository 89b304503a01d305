// The answer of an agent's `/healthz`, which the edge reads: which servers of a box can take a call now.
import * as z from "zod";

/** `down`: nothing listens. `loading`: it answers 503 while its weights load. `ready`: it takes calls. */
export const ServerState = z.enum(["down", "loading", "ready"]);
export type ServerState = z.infer<typeof ServerState>;

export const BoxHealth = z.object({
  box: z.string(),
  version: z.string(),
  servers: z.array(z.object({ port: z.int(), model: z.string(), state: ServerState })),
});
export type BoxHealth = z.infer<typeof BoxHealth>;
