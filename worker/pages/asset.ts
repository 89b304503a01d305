// Serves a file of the Worker's static assets with our headers.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";

/** A file whose name contains the hash of its content, so that it may be cached. The pages themselves don't match. */
export const HASHED = /^(app|style)-[0-9A-Z]{8}\.(js|css)$/;

export async function assetAnswer(
  c: Context<EdgeEnv>,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  // Of the client's headers, only the one that avoids sending the file again is passed on.
  const etag = c.req.header("if-none-match");
  const request = new Request(new URL(path, c.req.url));
  if (etag !== undefined) request.headers.set("if-none-match", etag);
  const found = await c.env.ASSETS.fetch(request);
  if (found.status !== 200 && found.status !== 304) throw fileNotFound();
  const answer = new Response(found.body, found);
  for (const [header, value] of Object.entries(headers)) answer.headers.set(header, value);
  return answer;
}

export function fileNotFound(): RefusedError {
  return new RefusedError({
    code: "not_found",
    message: "There is no such file. A newer version may have been deployed: reload the page.",
  });
}
