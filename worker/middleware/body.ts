// Begins to read a request's body: while the limiters are being asked, or else once the request is let in. What is
// refused at once is not read.
import type { Context } from "hono";
import type { EdgeEnv } from "../context.ts";
import { readBody } from "../proxy/json-body.ts";

/** Once for a request, whoever is first. */
export function beginBody(c: Context<EdgeEnv>): void {
  const begun: unknown = c.get("body");
  if (begun === undefined) c.set("body", readBody(c.req.raw));
}
