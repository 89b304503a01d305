// Gives each request an id and collects the headers that its answer has, whoever builds it: id, CORS, limits, security.
// Model calls and refusals are built with all of them at once; other answers receive them at the end. The client's own id
// is returned to it, and never logged: it can be a patient's name.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { EdgeEnv } from "../context.ts";
import type { RefusalLog } from "../failures/refusal-log.ts";

/** Of every answer. A page that needs another policy sets its own header, which is kept. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  // Two years, as browsers' preload lists require.
  "strict-transport-security": "max-age=63072000; includeSubDomains",
  // Answers are data: nothing in them may run, load or be framed.
  "content-security-policy":
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};
const SECURITY_ENTRIES = Object.entries(SECURITY_HEADERS);
const SECURITY_BLOCK = new Headers(SECURITY_HEADERS);

/** A client's id is returned if it is short, printable ASCII. */
const PLAIN = /^[\x20-\x7e]{1,128}$/;

/** Headers with a list of values, to which an answer may have added its own. */
const LISTS = new Set(["vary", "warning"]);

/** Sets the request's id, and the log that its refusal goes to; completes an answer that `buildAnswer` didn't build. */
export function answerHeaders(refusals: RefusalLog) {
  return createMiddleware<EdgeEnv>(async function addHeaders(c, next) {
    const id = `req_${crypto.randomUUID().replaceAll("-", "")}`;
    const headers: Record<string, string> = { "x-request-id": id };
    // Anthropic's SDKs read the id from this header.
    if (c.req.header("anthropic-version") !== undefined) headers["request-id"] = id;
    const clientId = c.req.header("x-request-id");
    if (clientId !== undefined && PLAIN.test(clientId)) headers["x-client-request-id"] = clientId;
    c.set("requestId", id);
    c.set("refusals", refusals);
    c.set("answerHeaders", headers);
    await next();
    if (c.get("builtAnswer") !== c.res) complete(c.res.headers, headers);
  });
}

/** Builds an answer with all headers of the request, instead of setting each on it later. */
export function buildAnswer(
  c: Context<EdgeEnv>,
  body: BodyInit | null,
  status: number,
  own: Readonly<Record<string, string>>,
): Response {
  // The platform copies a block of headers in a third of the time that it takes to read a record.
  const answer = new Response(body, { status, headers: SECURITY_BLOCK });
  const { headers } = answer;
  for (const added of [own, c.get("answerHeaders")]) {
    for (const name in added) headers.set(name, added[name] ?? "");
  }
  c.set("builtAnswer", answer);
  return answer;
}

function complete(headers: Headers, added: Readonly<Record<string, string>>): void {
  for (const [name, value] of SECURITY_ENTRIES) if (!headers.has(name)) headers.set(name, value);
  for (const [name, value] of Object.entries(added)) {
    if (LISTS.has(name)) headers.append(name, value);
    else headers.set(name, value);
  }
}
