// Formats a refusal as an answer: the edge's only renderer of errors. Any other exception is our own fault, and the
// answer contains none of its text.
import type { Context } from "hono";
import { DIALECTS, dialectOf } from "../../shared/dialects.ts";
import { ERRORS, errorText, RefusedError, type ErrorShape, type Refusal } from "../../shared/errors.ts";
import { retryHeaders } from "../../shared/retry-headers.ts";
import { failureFacts } from "../../shared/failures.ts";
import type { Principal } from "../../shared/principal.ts";
import type { EdgeEnv } from "../context.ts";
import { SettingsError } from "../env.ts";
import { buildAnswer } from "./answer-headers.ts";

/** Answers with a refusal and logs it. */
export function showRefusal(c: Context<EdgeEnv>, refusal: Refusal): Response {
  // `c.var` copies all variables each time it is read.
  const requestId = c.get("requestId");
  const principal: Principal | undefined = c.get("principal");
  const refusedKey: string | undefined = c.get("refusedKey");
  const { status } = ERRORS[refusal.code];
  c.get("refusals").note(c, {
    requestId,
    code: refusal.code,
    route: c.req.routePath,
    key: principal?.keyId ?? refusedKey ?? null,
    cause: refusal.internal ?? null,
    ...failureFacts(refusal),
  });
  const headers = retryHeaders(refusal, Math.random());
  headers["content-type"] = "application/json; charset=utf-8";
  if (status === 401) headers["www-authenticate"] = 'Bearer realm="isha"';
  return buildAnswer(c, errorText(refusal, requestId, shapeOf(c.req.path)), status, headers);
}

function shapeOf(path: string): ErrorShape {
  const dialect = dialectOf(path);
  return dialect === undefined ? "openai" : DIALECTS[dialect].errors;
}

/** Hono's error handler. An exception's text is neither sent nor logged: it can contain parts of a request. */
export function onError(error: Error, c: Context<EdgeEnv>): Response {
  if (error instanceof RefusedError) return showRefusal(c, error.refusal);
  return showRefusal(c, {
    code: "internal",
    message:
      "The request failed because of an internal error. Report the request id to the service operator.",
    internal: error instanceof SettingsError ? error.message : error.name,
  });
}
