// The guide, the reference and /openapi.json in workerd, as the build has made them of the shipped fleet.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import { fleetOf } from "../support/fleets.ts";
import { edgeOf } from "../support/edge.ts";

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'";

describe("/docs", () => {
  it("is about the host that serves it", async () => {
    const edge = edgeOf(shipped);
    for (const [host, origin] of [
      ["localhost", "http://localhost"],
      ["127.0.0.1:8787", "http://127.0.0.1:8787"],
    ] as const) {
      const text = await (await edge("/docs", { key: null, host })).text();
      expect(text).toContain(`curl ${origin}/v1/chat/completions`);
      expect(text).toContain(`<h1>${host}</h1>`);
      expect(text).not.toContain("{{");
    }
    const secure = await edge("/docs", { key: null, host: "models.example.org", scheme: "https" });
    expect(await secure.text()).toContain("curl https://models.example.org/v1/chat/completions");
  });

  it.each(["/docs", "/docs/reference"])(
    "%s may load its own files only, and is revalidated",
    async (path) => {
      const edge = edgeOf(shipped);
      const page = await edge(path, { key: null });
      expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      expect(page.headers.get("content-security-policy")).toContain(POLICY);
      expect(page.headers.get("content-security-policy")).not.toContain("unsafe");
      expect(page.headers.get("cache-control")).toBe("no-cache");
      const text = await page.text();
      expect(text).not.toMatch(/<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/);
      const etag = page.headers.get("etag") ?? "";
      expect((await edge(path, { key: null, headers: { "if-none-match": etag } })).status).toBe(304);
      for (const [, file = ""] of text.matchAll(/(?:src|href)="(\/docs\/[^"]+\.(?:js|css))"/g)) {
        const loaded = await edge(file, { key: null });
        expect([file, loaded.status, loaded.headers.get("cache-control")]).toEqual([
          file,
          200,
          "public, max-age=31536000, immutable",
        ]);
        await loaded.body?.cancel();
      }
    },
  );

  it.each([
    "/docs/guide.html",
    "/docs/openapi.json",
    "/docs/app-FFFFFFFF.js",
    "/docs/..%2Fconsole",
    "/docs/x",
  ])("has no file %s", async (path) => {
    const answer = await edgeOf(shipped)(path, { key: null });
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: { code: "not_found" } }]);
  });

  it("answers HEAD, and passes no key, cookie or query to the assets", async () => {
    const requests: Request[] = [];
    const fetch = (request: Request): Promise<Response> => {
      requests.push(request);
      return env.ASSETS.fetch(request);
    };
    const edge = edgeOf(shipped, { bindings: { ASSETS: { fetch } as unknown as Fetcher } });
    const answer = await edge("/docs?name=jane", { method: "HEAD", headers: { cookie: "a=b" } });
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
    expect(requests.map(({ url }) => new URL(url).search)).toEqual([""]);
    expect([...(requests[0]?.headers ?? [])]).toEqual([]);
  });
});

describe("/openapi.json", () => {
  it("is public, also for tools on other sites", async () => {
    const answer = await edgeOf(shipped)("/openapi.json", { key: null });
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(await answer.json()).toMatchObject({ openapi: "3.1.0", servers: [{ url: "/" }] });
  });
});

describe("/", () => {
  it("redirects to /docs", async () => {
    const answer = await edgeOf(fleetOf())("/", { key: null });
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/docs"]);
  });
});
