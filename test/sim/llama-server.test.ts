// The simulated llama-server beyond the recordings' single exchanges: its queue, its slots, its
// cache, its text and counts, its connections, its end. All as the real one does it.
import { spawn } from "node:child_process";
import { Agent } from "node:http";
import { fileURLToPath } from "node:url";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ask, eventsOf, jsonOf, talk } from "./replay/client.ts";
import type { Seen } from "./replay/client.ts";
import { switchDefaults } from "./llama/switches.ts";
import type { Switches } from "./llama/switches.ts";
import { startLlamaServer } from "./start.ts";
import type { SimulatedServer } from "./start.ts";

interface ChatAnswer {
  choices: { finish_reason: string; message: { content: string } }[];
  usage: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details: { cached_tokens: number };
  };
}

const QUESTION = [{ role: "user", content: "What can I do about a stiff neck after sleeping badly?" }];
const FAST: Partial<Switches> = { tokensPerSecond: 0, promptTokensPerSecond: 0 };

let server: SimulatedServer;

beforeAll(async () => {
  const flags = ["--no-cache-prompt", "--cache-ram", "0"];
  server = await startLlamaServer({ alias: "Test-8B.Q6_K.gguf", parallel: 2, context: 4_096, flags });
});

afterAll(async () => server.stop());

afterEach(async () => {
  await server.until(({ generating, deferred }) => generating + deferred === 0);
  await server.set({ ...switchDefaults() });
  await server.forget();
});

const post = async (path: string, body: unknown): Promise<Seen> => ask({ port: server.port, path, body });

const chat = async (body: object): Promise<ChatAnswer> =>
  jsonOf(await post("/v1/chat/completions", { messages: QUESTION, temperature: 0, ...body })) as ChatAnswer;

const contentOf = (answer: ChatAnswer): string => answer.choices[0]?.message.content ?? "";

async function tokensOf(content: string): Promise<number> {
  return (jsonOf(await post("/tokenize", { content })) as { tokens: number[] }).tokens.length;
}

/** The text of a chat stream. */
const streamed = (seen: Seen): string =>
  eventsOf(seen.body)
    .map(
      ({ data }) =>
        (data as { choices?: { delta: { content?: string } }[] }).choices?.[0]?.delta.content ?? "",
    )
    .join("");

describe("text and counts", () => {
  it("says that it is simulated and what was asked, with characters of several bytes, and stops by itself", async () => {
    await server.set(FAST);
    for (const content of [
      "Patient complaint: chest pain",
      "Is my policy paying for new glasses?",
      "hm",
      "",
    ]) {
      const answer = await chat({ messages: [{ role: "user", content }] });
      const text = contentOf(answer);
      expect(text).toMatch(/^\(simulated Test-8B – no real model\) You asked about “/);
      expect(answer.choices[0]?.finish_reason).toBe("stop");
      expect(answer.usage.completion_tokens).toBeGreaterThanOrEqual(40);
      expect(answer.usage.completion_tokens).toBeLessThanOrEqual(120);
      expect(Buffer.from(text).length).toBeGreaterThan(text.length);
    }
    expect(contentOf(await chat({}))).toContain("stiff neck sleeping badly");
  });

  it("counts what /tokenize counts, streamed or not, whatever the events", async () => {
    await server.set(FAST);
    for (const tokensPerEvent of [[1], [0, 2, 3, 1], [7]]) {
      await server.set({ tokensPerEvent });
      const whole = await chat({ ignore_eos: true, max_tokens: 150 });
      expect(whole.usage.completion_tokens).toBe(150);
      expect(await tokensOf(contentOf(whole))).toBe(150);
      const stream = await post("/v1/chat/completions", {
        messages: QUESTION,
        max_tokens: 150,
        ignore_eos: true,
        stream: true,
        stream_options: { include_usage: true },
      });
      expect(streamed(stream)).toBe(contentOf(whole));
      const usage = eventsOf(stream.body).at(-2)?.data as ChatAnswer;
      expect(usage.usage.completion_tokens).toBe(150);
    }
  });

  it("puts several tokens or none into an event as the cycle says", async () => {
    await server.set({ ...FAST, tokensPerEvent: [0, 2, 3, 1] });
    const seen = await post("/v1/completions", { prompt: "hi", max_tokens: 12, stream: true });
    const texts = eventsOf(seen.body).map(
      ({ data }) => (data as { choices?: { text: string }[] }).choices?.[0]?.text ?? "",
    );
    const counts = await Promise.all(texts.map(async (text) => tokensOf(text)));
    expect(counts).toEqual([0, 2, 3, 1, 0, 2, 3, 1, 0, 0, 0]);
  });

  it("continues any beginning of its answer to the same whole text", async () => {
    await server.set(FAST);
    const whole = contentOf(await chat({}));
    for (let length = 0; length <= whole.length; length += 23) {
      const begun = { role: "assistant", content: whole.slice(0, length) };
      const seen = await post("/v1/chat/completions", { messages: [...QUESTION, begun], stream: true });
      expect(streamed(seen)).toBe(whole);
    }
  });

  it("continues the beginning of another's answer, and that again, to the same whole text", async () => {
    await server.set(FAST);
    const begin = (content: string): object => ({ messages: [...QUESTION, { role: "assistant", content }] });
    const whole = contentOf(await chat(begin("Dear patient, ")));
    expect(whole).toMatch(/^Dear patient, – \(simulated/);
    for (let length = 14; length <= whole.length; length += 17) {
      expect(contentOf(await chat(begin(whole.slice(0, length))))).toBe(whole);
    }
  });

  it("continues a bare prompt with a part of its answer at the end", async () => {
    await server.set(FAST);
    const complete = async (prompt: string): Promise<string> => {
      const answer = jsonOf(await post("/v1/completions", { prompt, max_tokens: -1 }));
      return (answer as { choices: { text: string }[] }).choices[0]?.text ?? "";
    };
    const whole = await complete("A cough");
    for (let length = 1; length <= whole.length; length += 31) {
      expect(await complete(`A cough${whole.slice(0, length)}`)).toBe(whole.slice(length));
    }
  });

  it("refuses two assistant messages at the end", async () => {
    const messages = [...QUESTION, { role: "assistant", content: "a" }, { role: "assistant", content: "b" }];
    const seen = await post("/v1/chat/completions", { messages });
    expect(seen.status).toBe(400);
    expect(seen.body).toContain("Cannot have 2 or more assistant messages at the end of the list.");
  });

  it("ends at the slot's context if nothing else ends it", async () => {
    await server.set(FAST);
    const answer = await chat({ ignore_eos: true });
    expect(answer.usage.prompt_tokens + answer.usage.completion_tokens).toBe(2_048);
    expect(answer.choices[0]?.finish_reason).toBe("length");
  });

  it("holds back what may become a stop string", async () => {
    await server.set(FAST);
    const seen = await post("/v1/chat/completions", {
      messages: QUESTION,
      stop: ["no real model"],
      stream: true,
    });
    expect(streamed(seen)).toBe("(simulated Test-8B – ");
    expect(seen.body).toContain('"finish_reason":"stop"');
    const held = await post("/v1/chat/completions", { messages: QUESTION, stop: [".)"], stream: true });
    expect(streamed(held)).toBe(contentOf(await chat({})));
  });

  it("counts one choice of several, and generates all of them", async () => {
    await server.set(FAST);
    const answer = await chat({ n: 2, max_tokens: 5 });
    expect(answer.choices).toHaveLength(2);
    expect(answer.usage.completion_tokens).toBe(5);
    const { finished } = await server.state();
    expect(finished.at(-1)).toMatchObject({ choices: 2, generatedTokens: 10, outcome: "complete" });
  });

  it("turns tokens back into text", async () => {
    const content = "Fièvre – 38,5 °C, 漢字 and  two spaces\n";
    const { tokens } = jsonOf(await post("/tokenize", { content })) as { tokens: number[] };
    expect(jsonOf(await post("/detokenize", { tokens }))).toEqual({ content });
  });
});

describe("slots and queue", () => {
  /** A call on a slot keeps it until this is off, unless it asks for fewer tokens. */
  const HELD: Partial<Switches> = { ...FAST, stallAfterTokens: 3 };
  const RELEASED: Partial<Switches> = { stall: false, stallAfterTokens: null };
  const long = { messages: QUESTION, ignore_eos: true, max_tokens: 1_000, stream: true };
  const start = (body: object): ReturnType<typeof talk> =>
    talk({ port: server.port, path: "/v1/chat/completions", body: { ...long, ...body } });

  it("lets a request beyond the slots wait without a byte, and serves it when a slot is free", async () => {
    await server.set(HELD);
    const running = [start({}), start({})];
    await server.until(({ generating }) => generating === 2);
    const waiting = start({ max_tokens: 2 });
    let answered = false;
    void waiting.first.then(() => (answered = true));
    await server.until(({ deferred }) => deferred === 1);
    await running[0]?.first;
    expect(answered).toBe(false);
    running[0]?.leave();
    expect((await waiting.seen).ended).toBe("complete");
    running[1]?.leave();
  });

  it("lets a pinned request wait for its slot though others are free, and wraps past the last", async () => {
    await server.set(HELD);
    const held = start({ id_slot: 1 });
    await held.first;
    const waiting = start({ id_slot: 3, max_tokens: 2 });
    await server.until(({ deferred }) => deferred === 1);
    expect((await server.state()).generating).toBe(1);
    held.leave();
    await waiting.seen;
    const { finished } = await server.state();
    expect(finished.map(({ slot }) => slot)).toEqual([1, 1]);
  });

  it("lets a pinned pair wait for a second slot", async () => {
    await server.set(HELD);
    const held = start({ id_slot: 0 });
    await held.first;
    const pair = start({ id_slot: 1, n: 2, max_tokens: 2 });
    await server.until(({ deferred }) => deferred === 2);
    held.leave();
    expect((await pair.seen).body).toContain('"index":1');
  });

  it("frees the slot of a client that left", async () => {
    await server.set(HELD);
    const talking = start({});
    await talking.first;
    talking.leave();
    const { finished } = await server.until(({ generating }) => generating === 0);
    expect(finished.at(-1)).toMatchObject({ outcome: "aborted", generatedTokens: 3 });
  });

  it("goes on after the client left, for as long as it is switched to", async () => {
    await server.set({ ...HELD, busyAfterAbortMs: 3_600_000 });
    const talking = start({ max_tokens: 60 });
    await talking.first;
    talking.leave();
    await server.until(({ openSockets }) => openSockets === 0);
    expect((await server.state()).generating).toBe(1);
    await server.set(RELEASED);
    const { finished } = await server.until(({ generating }) => generating === 0);
    expect(finished.at(-1)).toMatchObject({ outcome: "aborted", generatedTokens: 60 });
  });

  it("turns a slot busy after the socket of an early abort closed", async () => {
    await server.set({ ...FAST, holdPickUp: true, stall: true, busyAfterAbortMs: 3_600_000 });
    const talking = start({ max_tokens: 5 });
    await server.until(({ requestsByRoute }) => requestsByRoute["/v1/chat/completions"] === 1);
    talking.leave();
    const closed = await server.until(({ openSockets }) => openSockets === 0);
    expect([closed.generating, closed.deferred]).toEqual([0, 0]);
    await server.set({ holdPickUp: false });
    await server.until(({ generating }) => generating === 1);
    await server.set(RELEASED);
    const { finished } = await server.until(({ generating }) => generating === 0);
    expect(finished).toMatchObject([{ outcome: "aborted", slot: expect.any(Number) as number }]);
    expect(finished[0]?.slot).toBeGreaterThanOrEqual(0);
  });

  it("drops a waiting request whose client left", async () => {
    await server.set(HELD);
    const running = [start({}), start({})];
    await server.until(({ generating }) => generating === 2);
    const waiting = start({});
    await server.until(({ deferred }) => deferred === 1);
    waiting.leave();
    const { finished, generating } = await server.until(({ deferred }) => deferred === 0);
    expect(finished.at(-1)).toMatchObject({ outcome: "aborted", slot: -1, generatedTokens: 0 });
    expect(generating).toBe(2);
    for (const talking of running) talking.leave();
  });

  it("goes on for a conversation after its client left, and replays it to anyone", async () => {
    await server.set(HELD);
    const headers = { "x-conversation-id": "c 1" };
    const body = { ...long, max_tokens: 40 };
    const talking = talk({ port: server.port, path: "/v1/chat/completions", body, headers });
    await talking.first;
    talking.leave();
    await server.until(({ openSockets }) => openSockets === 0);
    await server.set(RELEASED);
    const { finished } = await server.until((state) => state.finished.length === 1);
    expect(finished[0]).toMatchObject({ outcome: "complete", generatedTokens: 40 });
    const replayed = await ask({ port: server.port, path: "/v1/stream?conv_id=c%201" });
    expect(replayed.body).toContain("[DONE]");
    expect(await tokensOf(streamed(replayed))).toBe(40);
  });
});

describe("prompt cache", () => {
  const cached = async (body: object): Promise<number> =>
    (await chat({ max_tokens: 2, ...body })).usage.prompt_tokens_details.cached_tokens;

  it("reuses nothing under --no-cache-prompt unless the body asks, and then only on the same slot", async () => {
    await server.set(FAST);
    expect(await cached({ id_slot: 0 })).toBe(0);
    expect(await cached({ id_slot: 0 })).toBe(0);
    expect(await cached({ id_slot: 0, cache_prompt: true })).toBeGreaterThan(5);
    const messages = [{ role: "user", content: "Quite another matter" }];
    expect(await cached({ id_slot: 1, messages })).toBe(0);
    expect(await cached({ id_slot: 1, cache_prompt: true })).toBeLessThan(10);
  });

  it("reuses across callers if that is the server's default", async () => {
    await server.set({ ...FAST, cachePrompt: true });
    const first = await chat({ max_tokens: 2 });
    expect(await cached({})).toBe(first.usage.prompt_tokens - 1);
    expect(await cached({ cache_prompt: false })).toBe(0);
  });
});

describe("what it refuses", () => {
  it("quotes the request if its JSON exceeds what nlohmann accepts", async () => {
    const lone = await post(
      "/v1/chat/completions",
      '{"messages":[{"role":"user","content":"my secret \\ud800"}]}',
    );
    expect([lone.status, lone.body.includes("my secret")]).toEqual([500, true]);
    const huge = await post("/v1/chat/completions", '{"messages":[],"temperature":1e400}');
    expect(huge.body).toContain("[json.exception.out_of_range.406] number overflow parsing '1e400'");
    const cut = await post("/v1/chat/completions", '{"messages":[{"content":"secret');
    expect(cut.body).toContain("missing closing quote; last read: '\\\"secret'");
    const good = await post(
      "/v1/chat/completions",
      '{"messages":[{"role":"user","content":"\\ud83d\\ude00"}],"max_tokens":1}',
    );
    expect(good.status).toBe(200);
  });

  it("ends with 1 on an unknown flag", async () => {
    await expect(startLlamaServer({ flags: ["--no-such-flag"] })).rejects.toThrow(/"code":1/);
  });

  it("lists the flags it knows, as an operator's tool asks a binary", async () => {
    const child = spawn(process.execPath, [
      fileURLToPath(new URL("llama-server.ts", import.meta.url)),
      "--help",
    ]);
    let help = "";
    child.stdout.on("data", (part: Buffer) => (help += part.toString("utf8")));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(code).toBe(0);
    for (const flag of ["--api-key-file", "--no-cache-prompt", "--cache-ram", "-ub", "--no-webui"]) {
      expect(help).toMatch(new RegExp(`(?:^|, )${flag}(?:$|,| )`, "m"));
    }
  });

  it("names a switch that isn't one", async () => {
    const change = { noSuchSwitch: 1 } as Partial<Switches>;
    await expect(server.set(change)).rejects.toThrow(/unknown switch \\"noSuchSwitch\\"/);
    await expect(server.set({ tokensPerSecond: -1 })).rejects.toThrow(/tokensPerSecond/);
  });

  it("documents every switch", () => {
    const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
    const rows = readme.split("\n").map((line) => line.replaceAll(/ +/g, " "));
    const missing = Object.entries(switchDefaults()).filter(
      ([name, value]) => !rows.some((row) => row.startsWith(`| \`${name}\` | ${JSON.stringify(value)} |`)),
    );
    expect(missing).toEqual([]);
  });
});

describe("connections", () => {
  it("keeps a connection after a whole answer and closes it after a stream", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await server.set({ ...FAST, keepAliveMs: 3_600_000 });
    const say = (body: object): ReturnType<typeof talk> =>
      talk({ port: server.port, path: "/v1/chat/completions", body: { messages: QUESTION, ...body }, agent });
    await say({ max_tokens: 1 }).seen;
    const second = say({ max_tokens: 1, stream: true });
    const streamedHeaders = (await second.seen).headers;
    expect(second.request.reusedSocket).toBe(true);
    expect(streamedHeaders["Keep-Alive"]).toBe("timeout=5, max=100");
    await server.until(({ openSockets }) => openSockets === 0);
    agent.destroy();
  });

  it("remembers exactly what reached it", async () => {
    await server.set(FAST);
    const body = '{"max_tokens":1,"messages":[{"role":"user","content":"é"}] }';
    await ask({ port: server.port, path: "/v1/chat/completions?a=1", body, headers: { "x-trace": "7" } });
    const { received, finished, requestsByRoute } = await server.state();
    expect(received[0]).toMatchObject({ method: "POST", path: "/v1/chat/completions?a=1", body });
    expect(received[0]?.headers["x-trace"]).toBe("7");
    expect(finished[0]?.headerNames).toContain("x-trace");
    expect(finished[0]?.receivedBody).toBe(body);
    expect(requestsByRoute).toEqual({ "/v1/chat/completions": 1 });
  });
});
