// Names each request. The client's own id comes back, and is never logged: it can be a patient's name.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";

/** What a client's id may look like to be given back: printable ASCII, and no longer than ids are. */
const PLAIN = /^[\x20-\x7e]{1,128}$/;

export function requestId() {
  return createMiddleware<EdgeEnv>(async function nameRequest(c, next) {
    const id = `req_${crypto.randomUUID().replaceAll("-", "")}`;
    c.set("requestId", id);
    await next();
    c.res.headers.set("x-request-id", id);
    const theirs = c.req.header("x-request-id");
    if (theirs !== undefined && PLAIN.test(theirs)) c.res.headers.set("x-client-request-id", theirs);
  });
}
