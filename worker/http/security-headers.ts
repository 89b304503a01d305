// Adds the security headers to every answer. A page that needs another policy sets its own header, which is kept.
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";

const HEADERS = [
  // Two years, as browsers' preload lists require.
  ["strict-transport-security", "max-age=63072000; includeSubDomains"],
  // Answers are data: nothing in them may run, load or be framed.
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
