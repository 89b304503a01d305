// GET /console and its files, from the Worker's static assets with our headers. The page is public; the data that it
// requests needs an admin key.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { FILE_HEADERS, PAGE_HEADERS } from "./console-headers.ts";

/** A file whose name contains the hash of its content, so that it may be cached. The page itself doesn't match. */
const HASHED = /^(app|style)-[0-9A-Z]{8}\.(js|css)$/;

export function consolePage() {
  return async function answerPage(c: Context<EdgeEnv>): Promise<Response> {
    return served(c, "index.html", PAGE_HEADERS);
  };
}

export function toConsole() {
  return function redirectToConsole(c: Context<EdgeEnv>): Response {
    return c.redirect("/console", 302);
  };
}

export function consoleFile() {
  return async function answerFile(c: Context<EdgeEnv>): Promise<Response> {
    const name = c.req.param("file") ?? "";
    if (!HASHED.test(name)) throw fileNotFound();
    return served(c, name, FILE_HEADERS);
  };
}

async function served(
  c: Context<EdgeEnv>,
  name: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  // Of the client's headers, only the one that avoids sending the file again is passed on.
  const etag = c.req.header("if-none-match");
  const request = new Request(new URL(`/console/${name}`, c.req.url));
  if (etag !== undefined) request.headers.set("if-none-match", etag);
  const found = await c.env.ASSETS.fetch(request);
  if (found.status !== 200 && found.status !== 304) throw fileNotFound();
  const answer = new Response(found.body, found);
  for (const [header, value] of Object.entries(headers)) answer.headers.set(header, value);
  return answer;
}

function fileNotFound(): RefusedError {
  return new RefusedError({
    code: "not_found",
    message: "The console has no such file. A newer version may have been deployed: reload /console.",
  });
}
