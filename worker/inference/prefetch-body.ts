// Begins to read a request's body: while the limiters are being asked, or else once the request is let in. What is
// refused at once is not read.
import type { Context } from "hono";
import type { Result } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";

/** Once for a request, whoever is first. */
export function beginBody(
  c: Context<EdgeEnv>,
  read: (request: Request) => Promise<Result<Uint8Array>>,
): void {
  const begun: unknown = c.get("body");
  if (begun === undefined) c.set("body", read(c.req.raw));
}
