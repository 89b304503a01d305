// Gives each request an id, and the log that its refusal goes to. The client's own id is returned to it, and never logged:
// it can be a patient's name.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import type { RefusalLog } from "../failures/refusal-log.ts";

/** A client's id is returned if it is short, printable ASCII. */
const PLAIN = /^[\x20-\x7e]{1,128}$/;

export function requestId(refusals: RefusalLog) {
  return createMiddleware<EdgeEnv>(async function addRequestId(c, next) {
    const id = `req_${crypto.randomUUID().replaceAll("-", "")}`;
    c.set("requestId", id);
    c.set("refusals", refusals);
    await next();
    c.res.headers.set("x-request-id", id);
    const clientId = c.req.header("x-request-id");
    if (clientId !== undefined && PLAIN.test(clientId)) c.res.headers.set("x-client-request-id", clientId);
  });
}
