// Streams from end to end: as they come, whole, and never as if whole when they aren't.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  askReady as ask,
  CHEST_PAIN,
  events,
  fetchEdge,
  json,
  serversReady,
  startReady,
  stateOf,
  switchServer,
  type Stack,
} from "../support/ask.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterEach(async () => {
  await switchServer(stack, 8085, {
    splitUtf8: false,
    tokensPerEvent: [1],
    cutAfterTokens: null,
    stallAfterTokens: null,
  });
  await serversReady(stack);
});
afterAll(async () => {
  await stack?.stop();
});

interface Chunk {
  readonly error?: { readonly code: string; readonly request_id: string };
  readonly choices: { readonly text?: string; readonly delta: { readonly content?: string | null } }[];
}

/** The edge passes a stream on unread: its box reports that it broke. */
async function fateIsKnown(last: Chunk | string | undefined): Promise<void> {
  const id = typeof last === "object" ? last.error?.request_id : undefined;
  const headers = { authorization: "Bearer dev-admin" };
  await until(async () => {
    const response = await fetchEdge(`${stack.edgeUrl}/admin/requests/${id}`, { headers });
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

/** A stream that stands still after its first tokens, once they have come. */
async function standingStream(content: string, signal?: AbortSignal): Promise<StandingStream> {
  await switchServer(stack, 8085, { stallAfterTokens: 3 });
  const response = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
    body: JSON.stringify({
      agent_type: "Clinical",
      ignore_eos: true,
      stream: true,
      messages: [{ role: "user", content }],
    }),
    ...(signal === undefined ? {} : { signal }),
  });
  const reader = response.body?.getReader();
  let text = "";
  while (!text.includes("data: {")) text += new TextDecoder().decode((await reader?.read())?.value);
  return {
    async rest() {
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
        text += new TextDecoder().decode(next.value);
      return text;
    },
  };
}

interface StandingStream {
  /** Everything the stream brings until it ends. */
  rest(): Promise<string>;
}

test("a client that leaves frees its slot", async () => {
  const leaving = new AbortController();
  await standingStream("A question of a client that leaves", leaving.signal);
  expect((await stateOf(stack, 8085)).generating).toBe(1);
  leaving.abort();
  await until(async () => (await stateOf(stack, 8085)).generating === 0, "the slot is idle");
  const { finished } = await stateOf(stack, 8085);
  const left = finished.findLast(({ receivedBody }) => receivedBody.includes("client that leaves"));
  expect(left?.outcome).toBe("aborted");
});

// The last: its agent is another one afterwards.
test("an agent that dies in mid-stream is reported by the edge, in the stream", async () => {
  const stream = await standingStream("A question whose agent dies");
  await stack.killAgent("box1");
  const text = await stream.rest();
  expect(text).not.toContain("[DONE]");
  expect(text.trimEnd().split("\n\n").at(-1)).toContain('"code":"box_unreachable"');
  await stack.startAgent("box1");
});
