// Every switch of the simulated llama-server does what its table says, and only while it is on.
import { Agent } from "node:http";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ask, eventsOf, jsonOf, talk } from "./replay/client.ts";
import type { Seen, Talk } from "./replay/client.ts";
import { switchDefaults } from "./llama/switches.ts";
import type { Fault, Switches } from "./llama/switches.ts";
import { until } from "../support/until.ts";
import { openLlamaServer } from "./in-process.ts";
import { startLlamaServer } from "./start.ts";
import type { OpenServer } from "./start.ts";

const CHAT = "/v1/chat/completions";
const LONG = {
  messages: [{ role: "user", content: "What is a deductible?" }],
  ignore_eos: true,
  max_tokens: 400,
};
const STREAM = { ...LONG, stream: true };
/** A reset is seen while reading or, if it came first, while writing. */
const BROKEN = expect.stringMatching(/^(?:ECONNRESET|EPIPE)$/) as string;
const FAST: Partial<Switches> = { tokensPerSecond: 0, promptTokensPerSecond: 0 };

let server: OpenServer;

beforeAll(async () => {
  server = await openLlamaServer({
    alias: "Test-8B.Q6_K.gguf",
    parallel: 4,
    switches: { pingIntervalMs: 0 },
  });
});

afterAll(async () => server.stop());

afterEach(async () => {
  await server.set({ ...switchDefaults(), pingIntervalMs: 0 });
  await server.until(({ generating, deferred }) => generating + deferred === 0);
  await server.forget();
});

const say = (body: object = STREAM, on = server, agent?: Agent): Talk =>
  talk({ port: on.port, path: CHAT, body, ...(agent ? { agent } : {}) });

const health = async (): Promise<Seen> => ask({ port: server.port, path: "/health" });

const text = (seen: Seen): string =>
  eventsOf(seen.body)
    .map(
      ({ data }) =>
        (data as { choices?: { delta?: { content?: string } }[] }).choices?.[0]?.delta?.content ?? "",
    )
    .join("");

/** Leaves, and finds that not a byte of an answer had come. */
async function expectUnanswered(talking: Talk): Promise<void> {
  talking.leave();
  await expect(talking.seen).rejects.toThrow("socket hang up");
}

/** How many tokens are decoded, as `/slots` shows them. */
async function decoded(): Promise<number[]> {
  const slots = jsonOf(await ask({ port: server.port, path: "/slots" })) as {
    next_token?: [{ n_decoded: number }];
  }[];
  return slots.map(({ next_token }) => next_token?.[0].n_decoded ?? 0).filter((count) => count > 0);
}

describe("standing still", () => {
  it("stalls everything, answers /health all the same, and goes on when switched back", async () => {
    await server.set({ ...FAST, stallAfterTokens: 5 });
    const talking = say({ ...STREAM, max_tokens: 30 });
    await until(async () => (await decoded())[0] === 5);
    // From here on nothing but the stall keeps the other tokens back.
    await server.set({ stall: true, stallAfterTokens: null });
    expect((await health()).body).toBe('{"status":"ok"}');
    expect(await decoded()).toEqual([5]);
    await server.set({ stall: false });
    expect((await talking.seen).body).toContain("[DONE]");
  });

  it("stalls one generation after so many tokens, and the next one not", async () => {
    await server.set({ ...FAST, stallAfterTokens: 7, faultTimes: 1 });
    const stuck = say();
    await server.until(({ switches }) => switches.stallAfterTokens === null);
    expect(await decoded()).toEqual([7]);
    expect((await say().seen).body).toContain("[DONE]");
    stuck.leave();
    const { finished } = await server.until(({ generating }) => generating === 0);
    expect(finished.map(({ outcome }) => outcome)).toEqual(["complete", "aborted"]);
  });

  it("sends a comment for every interval of silence, and none in a shorter one", async () => {
    const comments = (received: string): number => received.match(/^:$/gm)?.length ?? 0;
    await server.set({ ...FAST, stallAfterTokens: 2, pingIntervalMs: 30 });
    const talking = say({ ...STREAM, max_tokens: 4 });
    await until(() => comments(talking.soFar()) >= 3);
    await server.set({ stallAfterTokens: null });
    expect(text(await talking.seen)).not.toBe("");
    await server.set({ stallAfterTokens: 2, pingIntervalMs: 3_600_000 });
    const quiet = say({ ...STREAM, max_tokens: 4 });
    await until(async () => (await decoded())[0] === 2);
    await server.set({ stallAfterTokens: null });
    expect(comments((await quiet.seen).body)).toBe(0);
  });

  it("leaves /health without an answer", async () => {
    await server.set({ hangHealth: true });
    const hanging = talk({ port: server.port, path: "/health" });
    await server.until(({ requestsByRoute }) => requestsByRoute["/health"] === 1);
    expect((await ask({ port: server.port, path: "/v1/models" })).status).toBe(200);
    await expectUnanswered(hanging);
  });

  it("is slow by its factor", async () => {
    await server.set({ tokensPerSecond: 1_000, promptTokensPerSecond: 0, slowFactor: 10 });
    const answer = jsonOf(await say({ ...LONG, max_tokens: 11 }).seen) as {
      timings: { predicted_ms: number };
    };
    expect(answer.timings.predicted_ms).toBeGreaterThan(95);
  });

  it("shows the progress of a long prompt", async () => {
    await server.set({ promptTokensPerSecond: 500, stallAfterPromptTokens: 100 });
    const talking = say({ messages: [{ role: "user", content: "word ".repeat(400) }] });
    const processed = async (): Promise<number> => {
      const slots = jsonOf(await ask({ port: server.port, path: "/slots" })) as {
        n_prompt_tokens_processed?: number;
      }[];
      return Math.max(...slots.map((slot) => slot.n_prompt_tokens_processed ?? 0));
    };
    await until(async () => (await processed()) === 100);
    await server.set({ stallAfterPromptTokens: 200, promptTokensPerSecond: 0 });
    expect(await processed()).toBe(200);
    await server.set({ stallAfterPromptTokens: null, tokensPerSecond: 0 });
    expect((await talking.seen).body).toContain('"prompt_tokens":');
  });
});

describe("breaking", () => {
  it("closes the connection in the middle of an event", async () => {
    await server.set({ ...FAST, cutAfterTokens: 5, faultTimes: 1 });
    const seen = await say().seen;
    expect(seen.ended).toBe("error: ECONNRESET");
    expect(seen.body.match(/"content":"/g)).toHaveLength(5);
    expect(seen.body).toMatch(/\n\ndata: [^\n]+$/);
    expect((await say().seen).ended).toBe("complete");
    const { finished } = await server.until((state) => state.finished.length === 2);
    expect(finished.map(({ outcome }) => outcome).sort()).toEqual(["broken", "complete"]);
  });

  it("closes the connection in the middle of a body", async () => {
    await server.set({ ...FAST, cutAfterTokens: 5 });
    const seen = await say(LONG).seen;
    expect(seen.ended).toBe("error: ECONNRESET");
    expect(seen.body.length).toBeLessThan(Number(seen.headers["Content-Length"]));
  });

  it("dies after so many tokens, having said them", async () => {
    const dying = await startLlamaServer({ ...FAST, switches: { dieAfterTokens: 6 } });
    const seen = await say(STREAM, dying).seen;
    expect(await dying.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect(seen.ended).toBe("error: ECONNRESET");
    expect(seen.body.match(/"content":"/g)).toHaveLength(6);
  });

  it("dies on a given word, and through its control port", async () => {
    const dying = await startLlamaServer({ ...FAST, switches: { dieOnWord: "poison" } });
    expect((await say({ ...LONG, max_tokens: 1 }, dying).seen).status).toBe(200);
    const asked = say({ messages: [{ role: "user", content: "a poisonous one" }] }, dying);
    await expect(asked.seen).rejects.toMatchObject({ code: BROKEN });
    expect((await dying.exited).signal).toBe("SIGKILL");
    const killed = await startLlamaServer();
    await expect(fetch(`${killed.controlUrl}/die`, { method: "POST" })).rejects.toThrow();
    expect((await killed.exited).signal).toBe("SIGKILL");
  });

  it("ignores SIGTERM if it is switched so, and otherwise ends at once without work", async () => {
    const idle = await startLlamaServer({ switches: { ignoreSigterm: true } });
    process.kill(idle.pid, "SIGTERM");
    const port = { port: idle.port, path: "/health" };
    expect((await ask(port)).status).toBe(200);
    expect((await idle.state()).ending).toBe(false);
    await idle.set({ ignoreSigterm: false });
    process.kill(idle.pid, "SIGTERM");
    expect(await idle.exited).toEqual({ code: 0, signal: null });
  });

  it("refuses connections until it is switched back, on the same port", async () => {
    await server.set({ refuse: true });
    await expect(health()).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await server.set({ refuse: false });
    expect((await health()).status).toBe(200);
  });

  it("accepts and resets", async () => {
    await server.set({ reset: true });
    await expect(health()).rejects.toMatchObject({ code: BROKEN });
  });

  it("resets a reused connection as a request arrives, before any byte", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await server.set({ ...FAST, staleKeepAlive: true, keepAliveMs: 3_600_000 });
    await say({ ...LONG, max_tokens: 1 }, server, agent).seen;
    const second = say({ ...LONG, max_tokens: 1 }, server, agent);
    await expect(second.seen).rejects.toMatchObject({ code: BROKEN });
    expect(second.request.reusedSocket).toBe(true);
    const { requestsByRoute } = await server.state();
    expect(requestsByRoute[CHAT]).toBe(1);
  });

  it("closes every connection if keep-alive is off", async () => {
    await server.set({ keepAlive: false });
    const agent = new Agent({ keepAlive: true });
    const seen = await talk({ port: server.port, path: "/health", agent }).seen;
    expect(seen.headers["Connection"]).toBe("close");
    expect(seen.headers["Keep-Alive"]).toBeUndefined();
  });

  it("answers that it is loading when it is switched so", async () => {
    await server.set({ loading: true });
    expect((await health()).status).toBe(503);
  });
});

describe("odd bytes", () => {
  it("tears characters of several bytes apart, and loses nothing", async () => {
    await server.set({ ...FAST, splitUtf8: true });
    const seen = await say({ ...STREAM, max_tokens: 20 }).seen;
    await server.set({ holdSplit: true });
    const talking = say({ ...LONG, max_tokens: 20 });
    expect(await talking.first).toMatch(/\uFFFD$/);
    await server.set({ holdSplit: false });
    const whole = await talking.seen;
    expect(whole.body).not.toContain("\uFFFD");
    expect(seen.chunks.some(({ data }) => data.includes("\uFFFD"))).toBe(true);
    expect(seen.body).not.toContain("\uFFFD");
    const content = (jsonOf(whole) as { choices: { message: { content: string } }[] }).choices[0]?.message
      .content;
    expect(text(seen)).toBe(content);
  });

  const broken: [Fault, RegExp][] = [
    ["garbage", /this is not HTTP/],
    ["halfHeader", /^HTTP\/1\.1 200 OK\r\nServer: llama\.cpp\r\nContent-Ty$/],
    ["closeAtOnce", /^$/],
  ];
  it.each(broken)("%s", async (fault, expected) => {
    await server.set({ fault });
    expect(await rawAnswer(server.port, JSON.stringify(STREAM))).toMatch(expected);
    await expect(say().seen).rejects.toThrow();
  });

  it("hugeEvent", async () => {
    await server.set({ fault: "hugeEvent", hugeEventBytes: 300_000 });
    expect(text(await say().seen)).toHaveLength(300_000);
    expect((await say(LONG).seen).body.length).toBeGreaterThan(300_000);
  });

  it("invalidUtf8", async () => {
    await server.set({ fault: "invalidUtf8" });
    expect(text(await say().seen)).toBe("a\uFFFD\uFFFD\uFFFD(b");
  });

  it("wrongContentType", async () => {
    await server.set({ fault: "wrongContentType" });
    const seen = await say().seen;
    expect([seen.status, seen.headers["Content-Type"]]).toEqual([200, "text/html"]);
  });

  it("errorEvent200", async () => {
    await server.set({ fault: "errorEvent200" });
    const seen = await say().seen;
    expect(seen.status).toBe(200);
    expect(eventsOf(seen.body).at(-1)?.data).toMatchObject({ error: { code: 500 } });
  });

  it("neverAnswer, so many times", async () => {
    await server.set({ ...FAST, fault: "neverAnswer", faultTimes: 1 });
    const silent = say();
    await server.until(({ switches }) => switches.fault === null);
    expect((await say({ ...LONG, max_tokens: 1 }).seen).status).toBe(200);
    await expectUnanswered(silent);
  });

  it("echo500", async () => {
    await server.set({ fault: "echo500" });
    const seen = await say().seen;
    expect([seen.status, seen.body.includes("What is a deductible?")]).toEqual([500, true]);
  });
});

describe("other ways to answer", () => {
  it("thinks first", async () => {
    await server.set({ ...FAST, reasoning: true });
    const whole = jsonOf(await say({ messages: LONG.messages }).seen) as {
      choices: { message: Record<string, string> }[];
      usage: { completion_tokens: number };
    };
    const message = whole.choices[0]?.message ?? {};
    expect(Object.keys(message)).toEqual(["role", "content", "reasoning_content"]);
    expect(message["reasoning_content"]).toContain("deductible");
    const seen = await say({ messages: LONG.messages, stream: true }).seen;
    expect(seen.body.indexOf("reasoning_content")).toBeLessThan(seen.body.indexOf('"content":"'));
    expect(text(seen)).toBe(message["content"]);
    const anthropic = await ask({
      port: server.port,
      path: "/v1/messages",
      body: { ...STREAM, max_tokens: 60 },
    });
    expect(anthropic.body).toContain("thinking_delta");
  });
});

/** Everything a connection brings for one request, as it is. */
async function rawAnswer(port: number, body: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("latin1");
}
