// The console's page and files in workerd, with assets of the test.
import { Hono } from "hono";
import { expect, it } from "vitest";
import { RefusedError } from "../../../shared/errors.ts";
import type { EdgeEnv } from "../../../worker/context.ts";
import { RefusalLog } from "../../../worker/failures/refusal-log.ts";
import { answerHeaders } from "../../../worker/http/answer-headers.ts";
import { consoleFile, consolePage } from "../../../worker/pages/console.ts";

/** The assets, and the requests for them. */
function assets(): { readonly requests: Request[]; readonly fetch: (request: Request) => Promise<Response> } {
  const requests: Request[] = [];
  return {
    requests,
    fetch: async (request) => {
      requests.push(request);
      const { pathname } = new URL(request.url);
      if (pathname === "/console/app-0123ABCD.js") {
        return new Response("script", { headers: { "content-type": "text/javascript" } });
      }
      if (pathname !== "/console/index.html") return new Response(null, { status: 404 });
      if (request.headers.get("if-none-match") === '"1"') return new Response(null, { status: 304 });
      return new Response("<!doctype html>", { headers: { etag: '"1"', "content-type": "text/html" } });
    },
  };
}

async function get(path: string, headers: Record<string, string> = {}) {
  const app = new Hono<EdgeEnv>();
  app.use("*", answerHeaders(new RefusalLog(Date.now)));
  app.get("/console", consolePage());
  app.get("/console/:file", consoleFile());
  app.onError((error, c) => c.text(error instanceof RefusedError ? error.refusal.code : "fault", 404));
  const ASSETS = assets();
  return { answer: await app.request(path, { headers }, { ASSETS }), requests: ASSETS.requests };
}

it("the page has its own policy and is revalidated on each load", async () => {
  const { answer } = await get("/console");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-security-policy")).toContain("script-src 'self'; style-src 'self'");
  expect(answer.headers.get("cache-control")).toBe("no-cache");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect((await get("/console", { "if-none-match": '"1"' })).answer.status).toBe(304);
});

it("a file named by its content is cached for a year, with the strict policy", async () => {
  const { answer } = await get("/console/app-0123ABCD.js");
  expect(await answer.text()).toBe("script");
  expect(answer.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
});

it.each(["/console/index.html", "/console/app-FFFFFFFF.js", "/console/..%2Fapp-0123ABCD.js", "/console/x"])(
  "there is no file %s",
  async (path) => {
    const { answer } = await get(path);
    expect([answer.status, await answer.text()]).toEqual([404, "not_found"]);
  },
);

it("passes no key, cookie or query to the assets", async () => {
  const { requests } = await get("/console?name=jane", { authorization: "Bearer x", cookie: "a=b" });
  expect(requests).toHaveLength(1);
  expect(requests[0]?.url).not.toContain("jane");
  expect([...(requests[0]?.headers ?? [])]).toEqual([]);
});
