// The same programs on another operator's fleet file: nothing in them names the first one's ports or models.
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ask,
  askReady,
  CHEST_PAIN,
  errorOf,
  fetchEdge,
  json,
  serversReady,
  startReady,
  type Stack,
} from "../support/ask.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({
    fleetFile: new URL("../../fixtures/second-fleet.ts", import.meta.url).pathname,
    simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 },
  });
});
afterAll(async () => {
  await stack?.stop();
});

test.each([
  [{ agent_type: "helper" }, 9101],
  [{ agent_type: "Writer" }, 9102],
  [{ model: "large-12b.gguf" }, 9102],
  [{ model_port: 9101 }, 9101],
  [{}, 9101],
  [{ model: "anything at all" }, 9101],
])("%j is answered by port %i of box north", async (named, port) => {
  const answer = await askReady(stack, { ...named, max_tokens: 3, messages: CHEST_PAIN });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-isha-port")).toBe(String(port));
  expect(answer.headers.get("x-isha-box")).toBe("north");
});

test("the first fleet's ports are unknown here", async () => {
  const answer = await ask(stack, { model_port: 8085, messages: CHEST_PAIN });
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toContain("9101 (Tiny-1B), 9102 (Large-12B), 9103 (Vectors)");
});

test("its documents are about it", async () => {
  const [document, guide] = await Promise.all(
    ["/openapi.json", "/docs"].map(async (path) => (await fetchEdge(`${stack.edgeUrl}${path}`)).text()),
  );
  expect(document).toContain("models.example.org");
  expect(guide).toContain("Writer");
  for (const name of ["isha.buzz", "8085", "Clinical", "Qwen"])
    expect(`${document}${guide}`).not.toContain(name);
});

test("a server that only makes embeddings is asked for no chat", async () => {
  const answer = await ask(stack, { agent_type: "Search", messages: CHEST_PAIN });
  expect(answer.status).toBe(400);
  expect(errorOf(answer)).toMatchObject({ code: "not_supported_by_model" });
  expect(answer.headers.get("x-should-retry")).toBe("false");
});

test("OpenAI's SDK gets embeddings, one vector for each text", async () => {
  const client = new OpenAI({ apiKey: "dev-key", baseURL: `${stack.edgeUrl}/v1` });
  const made = await client.embeddings.create({ model: "Search", input: ["one text", "another"] });
  expect(made.data.map(({ index }) => index)).toEqual([0, 1]);
  const [first, second] = made.data.map(({ embedding }) => embedding);
  expect(first?.length).toBe(second?.length);
  expect(first?.every(Number.isFinite)).toBe(true);
  expect(made.usage.prompt_tokens).toBeGreaterThan(0);
});

test("an agent type whose policy is none is refused while its model is down; others still fall back", async () => {
  await stack.killServer(9102);
  const poet = await ask(stack, { agent_type: "Poet", messages: CHEST_PAIN });
  expect(poet.status).toBe(503);
  expect(errorOf(poet).code).toBe("model_unavailable");
  const writer = await ask(stack, { agent_type: "Writer", max_tokens: 3, messages: CHEST_PAIN });
  expect(json(writer)).toMatchObject({ isha: { port: 9101, fallback_from: 9102 } });
  await stack.startServer(9102);
  await serversReady(stack);
});

test("pages of the listed origin may call, others may not", async () => {
  const from = async (origin: string): Promise<string | null> =>
    (await ask(stack, { max_tokens: 1, messages: CHEST_PAIN }, { origin })).headers.get(
      "access-control-allow-origin",
    );
  expect(await from("https://app.example.org")).toBe("https://app.example.org");
  expect(await from("https://evil.example")).toBeNull();
});
