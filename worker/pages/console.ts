// GET /console and its files. The page is public; the data that it requests needs an admin key.
import type { Context } from "hono";
import type { EdgeEnv } from "../context.ts";
import { assetAnswer, fileNotFound, HASHED } from "./asset.ts";
import { FILE_HEADERS, PAGE_HEADERS } from "./page-headers.ts";

export function consolePage() {
  return async function answerPage(c: Context<EdgeEnv>): Promise<Response> {
    return assetAnswer(c, "/console/index.html", PAGE_HEADERS);
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
    return assetAnswer(c, `/console/${name}`, FILE_HEADERS);
  };
}
