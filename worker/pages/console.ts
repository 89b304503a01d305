// GET /console and its files: out of the Worker's static assets, with our headers. The page is anyone's; the data it
// asks for is the operators'.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { FILE_HEADERS, PAGE_HEADERS } from "./console-headers.ts";

/** A file that may be kept for good: its name is its content's hash. The page itself is none of them. */
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
    if (!HASHED.test(name)) throw noSuchFile();
    return served(c, name, FILE_HEADERS);
  };
}

async function served(
  c: Context<EdgeEnv>,
  name: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  // Nothing of the caller's goes along but what spares sending the file again.
  const known = c.req.header("if-none-match");
  const asked = new Request(new URL(`/console/${name}`, c.req.url));
  if (known !== undefined) asked.headers.set("if-none-match", known);
  const found = await c.env.ASSETS.fetch(asked);
  if (found.status !== 200 && found.status !== 304) throw noSuchFile();
  const answer = new Response(found.body, found);
  for (const [header, value] of Object.entries(headers)) answer.headers.set(header, value);
  return answer;
}

function noSuchFile(): RefusedError {
  return new RefusedError({
    code: "not_found",
    message: "The console has no such file. Perhaps a newer one was deployed: open /console anew.",
  });
}
