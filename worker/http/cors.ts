// Lets pages of other sites call `/v1/*`, as the fleet file allows it: browsers never send a key automatically. Hono's
// middleware answers preflights only; for other requests it would build a second response.
import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { EdgeEnv } from "../context.ts";

/** @param exposed headers of an answer that pages may read */
export function shareAcrossOrigins(
  allowed: FleetConfig["cors"]["v1"],
  exposed: readonly string[],
): MiddlewareHandler<EdgeEnv> {
  const preflight = cors({
    origin: allowed === "*" ? "*" : [...allowed],
    allowMethods: ["GET", "HEAD", "POST"],
    maxAge: 7200,
  });
  const exposedNames = exposed.join(",");
  // Not async: it would cost each call a promise.
  return function share(c, next) {
    if (c.req.method === "OPTIONS") return preflight(c, next);
    const headers = c.get("answerHeaders");
    if (allowed === "*") headers["access-control-allow-origin"] = "*";
    else {
      headers["vary"] = "Origin";
      const origin = c.req.header("origin");
      if (origin !== undefined && allowed.includes(origin)) headers["access-control-allow-origin"] = origin;
    }
    headers["access-control-expose-headers"] = exposedNames;
    return next();
  };
}
