// Keeps keys and prompts off plain http: a page is redirected, anything else is refused. Programs of the same machine
// may use it.
import { createMiddleware } from "hono/factory";
import type { Refusal } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { showRefusal } from "./errors.ts";

/** Matches a URL that the runtime has normalized; a URL object for each call would cost more. */
const LOOPBACK = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\//;

/** Whether a URL names this machine. */
export const isLoopback = (url: string): boolean => LOOPBACK.test(url);

/** Must run before a key is read. */
export function httpsOnly() {
  // Not async: it would cost each call a promise.
  return createMiddleware<EdgeEnv>(function refusePlainHttp(c, next) {
    const { url, method } = c.req;
    if (url.startsWith("https:") || isLoopback(url)) return next();
    if (method === "GET" || method === "HEAD")
      return Promise.resolve(c.redirect(url.replace("http:", "https:"), 308));
    return Promise.resolve(showRefusal(c, HTTPS_REQUIRED));
  });
}

const HTTPS_REQUIRED: Refusal = {
  code: "https_required",
  message:
    "This service is only available over https. Use an https:// URL, and replace the API key: it was sent unencrypted.",
};
