// GET /docs (the guide), /docs/reference, their files, and /openapi.json: built by scripts/build.ts from the fleet file, the
// error table and the schemas that validate requests.
import type { Context } from "hono";
import type { EdgeEnv } from "../context.ts";
import { assetAnswer, fileNotFound, HASHED } from "./asset.ts";
import { DOCUMENT_HEADERS, FILE_HEADERS, PAGE_HEADERS } from "./page-headers.ts";

/** The guide, about the host that serves it. */
export function guide() {
  return async function answerGuide(c: Context<EdgeEnv>): Promise<Response> {
    const page = await assetAnswer(c, "/docs/guide.html", PAGE_HEADERS);
    if (page.status !== 200) return page;
    page.headers.delete("content-length");
    const { origin, host } = new URL(c.req.url);
    const text = (await page.text()).replaceAll("{{origin}}", origin).replaceAll("{{host}}", host);
    return new Response(text, { headers: page.headers });
  };
}

/** The reference, or a file of either page. */
export function docsFile() {
  return async function answerFile(c: Context<EdgeEnv>): Promise<Response> {
    const name = c.req.param("file") ?? "";
    if (name === "reference") return assetAnswer(c, "/docs/reference.html", PAGE_HEADERS);
    if (!HASHED.test(name)) throw fileNotFound();
    return assetAnswer(c, `/docs/${name}`, FILE_HEADERS);
  };
}

export function openApi() {
  return async function answerDocument(c: Context<EdgeEnv>): Promise<Response> {
    return assetAnswer(c, "/docs/openapi.json", DOCUMENT_HEADERS);
  };
}

export function toDocs() {
  return function redirectToDocs(c: Context<EdgeEnv>): Response {
    return c.redirect("/docs", 302);
  };
}
