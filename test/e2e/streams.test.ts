// Streams from end to end: as they come, whole, and never as if whole when they aren't.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startStack } from "../../scripts/stack.mjs";
import { ask, CHEST_PAIN, events, json, stateOf, switchServer, type Stack } from "./ask.ts";
import { until } from "../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterEach(async () => {
  await switchServer(stack, 8085, { splitUtf8: false, tokensPerEvent: [1], cutAfterTokens: null });
});
afterAll(async () => {
  await stack?.stop();
});

interface Chunk {
  readonly error?: { readonly code: string; readonly request_id: string };
  readonly choices: { readonly text?: string; readonly delta: { readonly content?: string | null } }[];
}

/** The edge passes a stream on unread: that it broke, its box tells. */
async function fateIsKnown(last: Chunk | string | undefined): Promise<void> {
  const id = typeof last === "object" ? last.error?.request_id : undefined;
  const headers = { authorization: "Bearer dev-admin" };
  await until(async () => {
    const response = await fetch(`${stack.edgeUrl}/admin/requests/${id}`, { headers });
    const fate = (await response.json()) as { readonly code?: string; readonly key?: string };
    return response.status === 200 && fate.code === "upstream_failed" && fate.key === "dev-key";
  }, "the failed stream's fate");
}

const streamed = { temperature: 0, stream: true, messages: CHEST_PAIN };

test("characters split between chunks arrive whole, in both formats", async () => {
  const whole = json<{ choices: { text: string }[] }>(
    await ask(stack, { agent_type: "Clinical", temperature: 0, messages: CHEST_PAIN }),
  );
  const text = whole.choices[0]?.text;
  expect(text).toMatch(/[^\x20-\x7e]/);
  await switchServer(stack, 8085, { splitUtf8: true });
  const mediczy = events<Chunk>(await ask(stack, { agent_type: "Clinical", ...streamed }));
  expect(mediczy.map((event) => (event === "[DONE]" ? "" : event.choices[0]?.text)).join("")).toBe(text);
  const openai = events<Chunk>(await ask(stack, { model: "Clinical", ...streamed }));
  expect(
    openai.map((event) => (event === "[DONE]" ? "" : (event.choices[0]?.delta.content ?? ""))).join(""),
  ).toBe(text);
});

test("events with no token, two or three of them keep text and counts true", async () => {
  await switchServer(stack, 8085, { tokensPerEvent: [0, 2, 3, 1] });
  const all = events<Chunk & { usage?: { completion_tokens: number } }>(
    await ask(stack, { agent_type: "Clinical", max_tokens: 40, ignore_eos: true, ...streamed }),
  );
  const last = all.at(-2);
  expect(last !== "[DONE]" && last?.usage?.completion_tokens).toBe(40);
});

test.each(["Clinical by agent type", "Clinical by model"])(
  "a stream cut in mid-event ends with one error event and no [DONE] (%s)",
  async (what) => {
    await switchServer(stack, 8085, { cutAfterTokens: 5 });
    const named = what.endsWith("model") ? { model: "Clinical" } : { agent_type: "Clinical" };
    const answer = await ask(stack, { ...named, ...streamed });
    expect(answer.status).toBe(200);
    const all = events<Chunk>(answer);
    expect(all).not.toContain("[DONE]");
    const last = all.at(-1);
    expect(last).toMatchObject({
      error: { code: "upstream_failed", request_id: answer.headers.get("x-request-id") },
    });
    expect(all.filter((event) => event !== "[DONE]" && event.error !== undefined)).toHaveLength(1);
    await fateIsKnown(last);
  },
);

test("an agent that dies in mid-stream is told by the edge, in the stream", async () => {
  const other = await startStack({ simulator: { tokensPerSecond: 50 } });
  try {
    const response = await fetch(`${other.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
      body: JSON.stringify({ agent_type: "Clinical", ignore_eos: true, ...streamed }),
    });
    const reader = response.body?.getReader();
    let text = new TextDecoder().decode((await reader?.read())?.value);
    process.kill(other.boxes[0]?.agentPid ?? 0, "SIGKILL");
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
      text += new TextDecoder().decode(next.value);
    expect(text).not.toContain("[DONE]");
    expect(text.trimEnd().split("\n\n").at(-1)).toContain('"code":"box_unreachable"');
  } finally {
    await other.stop();
  }
});

test("a client that leaves frees its slot", async () => {
  const leaving = new AbortController();
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
    body: JSON.stringify({ agent_type: "Clinical", ignore_eos: true, ...streamed }),
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  expect((await stateOf(stack, 8085)).generating).toBe(1);
  leaving.abort();
  await until(async () => (await stateOf(stack, 8085)).generating === 0, "the slot is idle");
  expect((await stateOf(stack, 8085)).finished.at(-1)?.outcome).toBe("aborted");
});
