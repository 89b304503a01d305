// The headers every answer has, whoever asked and whatever came of it. A page that needs a wider policy sets
// its own before; what is set already stays.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";

const HEADERS = [
  // Two years, as browsers' preload lists ask for.
  ["strict-transport-security", "max-age=63072000; includeSubDomains"],
  // An answer is data: nothing in it may run, load or be framed.
  [
    "content-security-policy",
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  ],
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cache-control", "no-store"],
] as const;

export function securityHeaders() {
  return createMiddleware<EdgeEnv>(async function addSecurityHeaders(c, next) {
    await next();
    const { headers } = c.res;
    for (const [name, value] of HEADERS) {
      if (!headers.has(name)) headers.set(name, value);
    }
  });
}
