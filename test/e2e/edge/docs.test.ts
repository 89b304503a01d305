// Every example of /docs and docs/migrate.md, run against the stack as it is shown; and answers of every readable route, held
// to the schemas of /openapi.json.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import type { OpenApiDocument, Schema } from "../../../scripts/build/openapi/types.ts";
import { fetchEdge, startReady, type Stack } from "../support/ask.ts";

const run = promisify(execFile);
const MIGRATE = await readFile(new URL("../../../docs/migrate.md", import.meta.url), "utf8");
const WRITTEN = "https://ai.isha.buzz";
const ENV = { ...process.env, ISHA_KEY: "dev-key" };

let stack: Stack;
let guide = "";
let openapi: OpenApiDocument;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
  guide = await (await fetchEdge(`${stack.edgeUrl}/docs`)).text();
  openapi = (await (await fetchEdge(`${stack.edgeUrl}/openapi.json`)).json()) as OpenApiDocument;
});
afterAll(async () => {
  await stack?.stop();
});

/** Examples of the guide, as a reader copies them. */
function ofGuide(language: string): string[] {
  const blocks = guide.matchAll(new RegExp(`data-language="${language}"[^>]*><code>([^]*?)</code>`, "g"));
  return [...blocks].map(([, text = ""]) =>
    text
      .replaceAll("&quot;", '"')
      .replaceAll("&#39;", "'")
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&amp;", "&"),
  );
}

/** Examples of docs/migrate.md, sent to the stack. */
function ofMigrate(language: string): string[] {
  const blocks = MIGRATE.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"));
  return [...blocks].map(([, text = ""]) => text.replaceAll(WRITTEN, stack.edgeUrl));
}

/** Runs a curl, again while the limits could not be checked, as on a machine that froze. */
async function curl(command: string): Promise<string> {
  let printed = await run("bash", ["-c", command], { env: ENV });
  while (printed.stdout.includes('"limiter_unavailable"'))
    printed = await run("bash", ["-c", command], { env: ENV });
  return printed.stdout;
}

const isCurl = (text: string): boolean => text.startsWith("curl");

/** Runs a program as a file of this project, which has the SDKs. */
async function typescript(text: string): Promise<string> {
  const folder = await mkdtemp(join(import.meta.dirname, "../../../.wrangler/docs-"));
  try {
    await writeFile(join(folder, "example.ts"), text);
    return (await run(process.execPath, [join(folder, "example.ts")], { env: ENV })).stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The names of an object at every depth, without the values. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== "object" || value === null) return null;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shape(inner)]));
}

describe("the guide", () => {
  test("its curls are answered in the form it shows", async () => {
    const [byAgent = "", byPort = "", byModel = "", streamed = ""] = ofGuide("sh").filter(isCurl);
    const [shown = "{}"] = ofGuide("json");
    for (const command of [byAgent, byPort])
      expect(shape(JSON.parse(await curl(command)))).toEqual(shape(JSON.parse(shown)));
    expect(JSON.parse(await curl(byModel))).toMatchObject({ object: "chat.completion" });
    const stream = await curl(streamed);
    expect(stream.trimEnd().endsWith("data: [DONE]")).toBe(true);
    const eventsOf = (text: string): object[] =>
      [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = ""]) => JSON.parse(data) as object);
    const [expected] = ofGuide("sse").map(eventsOf);
    expect(shape(eventsOf(stream).at(-1))).toMatchObject(shape(expected?.at(-1)) as object);
  });

  test("its TypeScript prints the answer", async () => {
    const programs = ofGuide("ts");
    expect(programs).toHaveLength(3);
    for (const program of programs)
      expect([program, await typescript(program)]).toEqual([program, expect.stringContaining("chest pain")]);
  });

  test("its Python is a plain streamed request, which is answered", async () => {
    const [python = ""] = ofGuide("python");
    const baseUrl = /base_url="([^"]+)"/.exec(python)?.[1] ?? "";
    const model = /model="([^"]+)"/.exec(python)?.[1] ?? "";
    const answer = await fetchEdge(`${baseUrl}/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer dev-key", "content-type": "application/json" },
      body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "chest pain" }] }),
    });
    expect([answer.status, await answer.text()]).toEqual([
      200,
      expect.stringContaining('"chat.completion.chunk"'),
    ]);
  });

  test("its error is the one that the service returns", async () => {
    const [, shown = "{}"] = ofGuide("json");
    const answer = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer dev-key", "content-type": "application/json" },
      body: '{"messages":[{"role":"user","content":1}]}',
    });
    const expected = JSON.parse(shown) as { error: object };
    expect(await answer.json()).toEqual({ error: { ...expected.error, request_id: expect.any(String) } });
  });
});

describe("docs/migrate.md", () => {
  test("its requests are answered in the forms it shows", async () => {
    const [byPort = "", byAgent = "", withoutKey = "", streamed = "", health = ""] = ofMigrate("sh");
    const [answer = {}, refusal = {}, healthy = {}] = ofMigrate("json").map(
      (text) => JSON.parse(text) as object,
    );
    for (const [command, port] of [
      [byPort, 8085],
      [byAgent, 8084],
    ] as const) {
      const received = JSON.parse(await curl(command)) as { isha: { port: number } };
      expect(shape(received)).toEqual(shape(answer));
      expect(received.isha.port).toBe(port);
    }
    const refused = JSON.parse(await curl(withoutKey)) as { error: object };
    expect({ error: { ...refused.error, request_id: "req_…" } }).toEqual(refusal);
    expect((await curl(streamed)).trimEnd().endsWith("data: [DONE]")).toBe(true);
    // Here the servers are simulated, and it says so.
    expect(JSON.parse(await curl(health))).toEqual({ ...healthy, simulated: true });
  });

  test("its TypeScript prints the answer", async () => {
    const [program = ""] = ofMigrate("ts");
    expect(await typescript(program)).toContain("coverage");
  });
});

describe("/openapi.json", () => {
  /** Throws if a value doesn't fit a schema of the document. */
  function check(schema: Schema, value: unknown): void {
    const text = JSON.stringify({ ...schema, $defs: openapi.components.schemas });
    const resolved = JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/")) as Parameters<
      typeof z.fromJSONSchema
    >[0];
    z.fromJSONSchema(resolved).parse(value);
  }

  test("every route that can be read answers as its schema states", async () => {
    const created = await fetchEdge(`${stack.edgeUrl}/admin/keys`, {
      method: "POST",
      headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
      body: '{"name":"docs"}',
    });
    const { id } = (await created.json()) as { id: string };
    let checked = 0;
    for (const [path, { get }] of Object.entries(openapi.paths)) {
      const schema = get?.responses["200"];
      if (get === undefined || schema === undefined || "$ref" in schema) continue;
      const content = schema.content?.["application/json"]?.schema;
      if (content === undefined || path === "/admin/requests/{id}") continue;
      const url = path.replace("/admin/keys/{id}", `/admin/keys/${id}`).replace("{id}", "Clinical");
      const query = path.endsWith("/history") ? "?box=box1" : "";
      const key =
        get.security.length === 0
          ? {}
          : { authorization: `Bearer ${path.startsWith("/admin/") ? "dev-admin" : "dev-key"}` };
      const answer = await fetchEdge(`${stack.edgeUrl}${url}${query}`, { headers: key });
      const body: unknown = await answer.json();
      expect([path, answer.status]).toEqual([path, 200]);
      expect(() => check(content, body), path).not.toThrow();
      checked += 1;
    }
    expect(checked).toBeGreaterThan(9);
  });

  test("the models in Anthropic's form fit its schema, and only that", async () => {
    const headers = { "x-api-key": "dev-key", "anthropic-version": "2023-06-01" };
    const body: unknown = await (await fetchEdge(`${stack.edgeUrl}/v1/models`, { headers })).json();
    expect(() => check({ $ref: "#/components/schemas/AnthropicModelList" }, body)).not.toThrow();
    expect(() => check({ $ref: "#/components/schemas/ModelList" }, body)).toThrow();
  });

  test("the example of every call is answered as its schema states", async () => {
    for (const [path, { post }] of Object.entries(openapi.paths)) {
      if (post?.tags.includes("Models") !== true) continue;
      const example = post.requestBody?.content["application/json"]?.example as object;
      const answer = await fetchEdge(`${stack.edgeUrl}${path}`, {
        method: "POST",
        headers: { authorization: "Bearer dev-key", "content-type": "application/json" },
        body: JSON.stringify({ ...example, ...("stream" in example ? { stream: false } : {}) }),
      });
      const body: unknown = await answer.json();
      expect([path, answer.status, body]).toEqual([path, 200, body]);
      const success = post.responses["200"];
      if (success === undefined || "$ref" in success) throw new Error(`${path} has no answer`);
      expect(() => check(success.content?.["application/json"]?.schema ?? {}, body), path).not.toThrow();
    }
  });
});
