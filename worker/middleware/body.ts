// Begins to read a request's body while the limiters are still being asked; the handler waits for it.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import { readBody } from "../proxy/json-body.ts";

export function body() {
  return createMiddleware<EdgeEnv>(async function beginBody(c, next) {
    c.set("body", readBody(c.req.raw));
    await next();
  });
}
