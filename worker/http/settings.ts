// Sets the edge's settings on a request; each isolate validates them once.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import { readSettings } from "../env.ts";

export function settings() {
  return createMiddleware<EdgeEnv>(async function readEnvironment(c, next) {
    c.set("settings", readSettings(c.env));
    await next();
  });
}
