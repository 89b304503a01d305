// The console's page and files, in workerd. The assets are the test's own: what is held here is what our code does to
// them and to those who ask.
import { Hono } from "hono";
import { expect, it } from "vitest";
import { RefusedError } from "../../../shared/errors.ts";
import type { EdgeEnv } from "../../../worker/context.ts";
import { securityHeaders } from "../../../worker/http/security-headers.ts";
import { consoleFile, consolePage } from "../../../worker/pages/console.ts";

/** The assets, and what they were asked. */
function assets(): { readonly asked: Request[]; readonly fetch: (request: Request) => Promise<Response> } {
  const asked: Request[] = [];
  return {
    asked,
    fetch: async (request) => {
      asked.push(request);
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

async function ask(path: string, headers: Record<string, string> = {}) {
  const app = new Hono<EdgeEnv>();
  app.use("*", securityHeaders());
  app.get("/console", consolePage());
  app.get("/console/:file", consoleFile());
  app.onError((error, c) => c.text(error instanceof RefusedError ? error.refusal.code : "fault", 404));
  const ASSETS = assets();
  return { answer: await app.request(path, { headers }, { ASSETS }), asked: ASSETS.asked };
}

it("the page comes with its own policy and is asked for anew each time", async () => {
  const { answer } = await ask("/console");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-security-policy")).toContain("script-src 'self'; style-src 'self'");
  expect(answer.headers.get("cache-control")).toBe("no-cache");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect((await ask("/console", { "if-none-match": '"1"' })).answer.status).toBe(304);
});

it("a file named by its content is kept for a year, and nothing may run from where it is shown alone", async () => {
  const { answer } = await ask("/console/app-0123ABCD.js");
  expect(await answer.text()).toBe("script");
  expect(answer.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
});

it.each(["/console/index.html", "/console/app-FFFFFFFF.js", "/console/..%2Fapp-0123ABCD.js", "/console/x"])(
  "there is no file %s",
  async (path) => {
    const { answer } = await ask(path);
    expect([answer.status, await answer.text()]).toEqual([404, "not_found"]);
  },
);

it("hands the assets nothing of the caller's: no key, no cookie, no query", async () => {
  const { asked } = await ask("/console?name=jane", { authorization: "Bearer x", cookie: "a=b" });
  expect(asked).toHaveLength(1);
  expect(asked[0]?.url).not.toContain("jane");
  expect([...(asked[0]?.headers ?? [])]).toEqual([]);
});
