// Reads the edge's environment for a request; checked once an isolate.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import { readSettings } from "../env.ts";

export function settings() {
  return createMiddleware<EdgeEnv>(async function readEnvironment(c, next) {
    c.set("settings", readSettings(c.env));
    await next();
  });
}
