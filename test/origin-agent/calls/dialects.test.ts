// Checks calls of every dialect on simulated servers: slots, the queue for token routes, aborts, replays, continuations
// and breaks.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DIALECTS, type Dialect } from "../../../shared/dialects.ts";
import type { Call } from "../../../shared/call-headers.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { until } from "../../support/until.ts";
import { ask, serveShortCalls, type Answer, type Json, type OpenCall } from "../support/ask.ts";
import { queuedCalls, REPLICA, reset, startSimulator, WANTED } from "../support/box.ts";
import { ownServers } from "./support/servers.ts";

const own = ownServers();

/** A body of each dialect with this text. */
const BODIES: Readonly<Record<Dialect, (text: string) => Json>> = {
  chat: (text) => ({ messages: [{ role: "user", content: text }] }),
  completions: (text) => ({ prompt: text }),
  responses: (text) => ({ input: text }),
  messages: (text) => ({ messages: [{ role: "user", content: text }], max_tokens: 40 }),
  count_tokens: (text) => ({ messages: [{ role: "user", content: text }] }),
  embeddings: (text) => ({ input: text }),
  rerank: (text) => ({ query: text, documents: ["a", "b"] }),
  tokenize: (text) => ({ content: text }),
  detokenize: () => ({ tokens: [1, 2, 3] }),
  apply_template: (text) => ({ messages: [{ role: "user", content: text }] }),
};
const STREAMED = ["chat", "completions", "responses", "messages"] as const;
const TOKEN_ROUTES = ["count_tokens", "tokenize", "detokenize", "apply_template"] as const;

function send(port: number, dialect: Dialect, text: string, call: Partial<Call> = {}): OpenCall {
  const body = { ...BODIES[dialect](text), ...(call.stream === true ? { stream: true } : {}) };
  const place = { wantedPort: WANTED, ports: [WANTED], fallbackPorts: [] };
  return ask(port, {
    path: DIALECTS[dialect].path,
    call: { ...place, dialect, continuable: false, ...call },
    body: JSON.stringify(body),
  });
}

const pathsOf = async (server: SimulatedServer): Promise<string[]> =>
  (await server.state()).received.map(({ path }) => path);

describe("a call of a dialect", () => {
  it.each(STREAMED)(
    "%s whose client leaves is proved to have ended, and its slot is free",
    async (dialect) => {
      const wanted = await own.server(WANTED, { stallAfterTokens: 3 });
      const agent = await own.agent({ [WANTED]: wanted });
      const left = send(agent.port, dialect, "Chest pain", { stream: true });
      await left.arrived(/data: /);
      left.leave();
      await agent.allBooked();
      await until(() => agent.live.servers.get(WANTED)?.slots.free === 2);
      expect(await agent.metrics.text()).toMatch(/^isha_abort_to_free_seconds_count.* 1$/m);
      expect(agent.booked.at(-1)?.end?.outcome).toBe("aborted");
    },
  );

  it.each(STREAMED)("%s that broke before anything was sent is replayed", async (dialect) => {
    const wanted = await own.server(WANTED);
    const agent = await own.agent({ [WANTED]: wanted });
    for (const stream of [false, true]) {
      await wanted.set({ fault: "closeAtOnce", faultTimes: 1 });
      const { status, complete } = await send(agent.port, dialect, "Chest pain", { stream }).answer;
      expect([status, complete]).toEqual([200, true]);
    }
    const path = DIALECTS[dialect].path;
    expect((await pathsOf(wanted)).filter((one) => one === path).length).toBeGreaterThanOrEqual(4);
  });

  it.each(["responses", "messages"] as const)(
    "%s that broke in the middle ends with its error event: no second start, and no other server sees it",
    async (dialect) => {
      const [wanted, replica] = await Promise.all([
        own.server(WANTED, { cutAfterTokens: 4, tokensPerSecond: 500 }),
        own.server(REPLICA),
      ]);
      const agent = await own.agent({ [WANTED]: wanted, [REPLICA]: replica });
      const { text } = await send(agent.port, dialect, "Chest pain", {
        stream: true,
        continuable: true,
        ports: [WANTED, REPLICA],
      }).answer;
      const names = [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
      expect(names.filter((name) => name === "message_start" || name === "response.created")).toHaveLength(1);
      expect(names.filter((name) => name === "error")).toHaveLength(1);
      expect(names.at(-1)).toBe("error");
      expect(await pathsOf(replica)).not.toContain(DIALECTS[dialect].path);
    },
  );

  it("completions that broke in the middle is continued by a server of the same model, with id and counts kept", async () => {
    const [wanted, replica] = await Promise.all([
      own.server(WANTED, { dieAfterTokens: 5, tokensPerSecond: 500 }),
      own.server(REPLICA),
    ]);
    const agent = await own.agent({ [WANTED]: wanted, [REPLICA]: replica });
    const whole = await send(agent.port, "completions", "Chest pain", { ports: [REPLICA] }).answer;
    const [choice] = (JSON.parse(whole.text) as { choices: { text: string }[] }).choices;
    const { text } = await send(agent.port, "completions", "Chest pain", {
      stream: true,
      continuable: true,
      ports: [WANTED, REPLICA],
    }).answer;
    const events = text
      .split("\n\n")
      .filter((event) => event.startsWith("data: {"))
      .map((event) => JSON.parse(event.slice(6)) as Json & { choices: { text: string }[] });
    expect(events.flatMap(({ choices }) => choices.map((one) => one.text)).join("")).toBe(choice?.text);
    expect(new Set(events.map(({ id }) => id)).size).toBe(1);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    const { usage } = JSON.parse(whole.text) as Json;
    expect(events.at(-1)?.["usage"]).toMatchObject({
      completion_tokens: (usage as Json)["completion_tokens"],
    });
  });

  it("completions go on at the replica if their own server dies just before it counts the text so far", async () => {
    const [wanted, replica] = await Promise.all([
      own.server(WANTED, { cutAfterTokens: 4, faultTimes: 1, tokensPerSecond: 500 }),
      own.server(REPLICA),
    ]);
    let counts = 0;
    const countTokens = async (): Promise<number | null> => {
      counts += 1;
      if (counts > 1) return 4;
      await wanted.set({ refuse: true });
      return null;
    };
    const agent = await own.agent({ [WANTED]: wanted, [REPLICA]: replica }, { countTokens });
    const { text } = await send(agent.port, "completions", "Chest pain", {
      stream: true,
      continuable: true,
      ports: [WANTED, REPLICA],
    }).answer;
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(text).not.toContain('"error"');
    expect(counts).toBe(2);
    expect(await pathsOf(replica)).toContain("/v1/completions");
  });
});

describe("token routes", () => {
  let wanted: SimulatedServer;
  beforeAll(async () => {
    wanted = await startSimulator(WANTED);
  });
  afterAll(() => wanted.stop());

  it("take no slot: they are answered while every slot is taken", async () => {
    await reset(wanted);
    const agent = await own.agent({ [WANTED]: wanted });
    await wanted.set({ stallAfterTokens: 1 });
    const calls = [1, 2].map(() => send(agent.port, "chat", "Chest pain", { stream: true }));
    await until(() => agent.live.servers.get(WANTED)?.slots.free === 0);
    for (const dialect of TOKEN_ROUTES) {
      const { status } = await send(agent.port, dialect, "Chest pain").answer;
      expect([dialect, status]).toEqual([dialect, 200]);
    }
    for (const call of calls) call.leave();
    await agent.allBooked();
  });
});

describe("calls of all dialects at once", () => {
  it.each(SEEDS.slice(0, 3))("never share a slot, nor wait inside llama-server (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const wanted = await own.server(WANTED, { tokensPerSecond: 3000 });
    const agent = await own.agent({ [WANTED]: wanted });
    await serveShortCalls(agent.port, { ports: [WANTED], fallbackPorts: [] });
    let deferred = 0;
    const calling = new AbortController();
    const watching = (async () => {
      while (!calling.signal.aborted) deferred = Math.max(deferred, (await wanted.state()).deferred);
    })();
    const calls = Array.from({ length: 150 }, (_, at) => {
      const dialect = random.pick([...STREAMED, "messages", "messages", ...TOKEN_ROUTES] as const);
      const stream = STREAMED.some((one) => one === dialect) && random.chance(0.6);
      const call = { requestId: `req-${at}`, keyId: `key-${at % 30}`, stream };
      return { dialect, sent: send(agent.port, dialect, `Topic${at}x`, call), topic: `Topic${at}x`, stream };
    });
    const answers = await Promise.all(calls.map(async (one): Promise<Answer> => one.sent.answer));
    calling.abort();
    await watching;
    expect(deferred).toBe(0);
    for (const [at, { dialect, topic }] of calls.entries()) {
      const { status, text } = answers[at] ?? { status: 0, text: "" };
      // The queue has 32 places for the slots, and as many for token routes.
      expect([200, 503]).toContain(status);
      const topics = new Set(text.match(/Topic\d+x/g));
      for (const found of topics) expect([dialect, found]).toEqual([dialect, topic]);
    }
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(40);
    await until(() => agent.live.servers.get(WANTED)?.slots.free === 2 && queuedCalls(agent) === 0);
    const { finished } = await wanted.state();
    const bad = finished.filter(({ outcome }) => outcome !== "complete");
    expect(bad).toEqual([]);
  });
});

describe("a stream that waits", () => {
  it("states its place, then that its prompt is processed", async () => {
    const wanted = await own.server(WANTED);
    const agent = await own.agent({ [WANTED]: wanted });
    await serveShortCalls(agent.port, { ports: [WANTED], fallbackPorts: [] });
    await wanted.set({ stallAfterTokens: 1 });
    const running = [1, 2].map(() => send(agent.port, "chat", "Chest pain", { stream: true }));
    await until(() => agent.live.servers.get(WANTED)?.slots.free === 0);
    const first = send(agent.port, "messages", "Chest pain", { stream: true, keyId: "key-2" });
    await until(() => queuedCalls(agent) === 1);
    const second = send(agent.port, "chat", "Chest pain", { stream: true, keyId: "key-3" });
    await until(() => queuedCalls(agent) === 2);
    agent.later(2_000);
    await first.arrived(/^: queued, place 1, about \d+ s\n\n/);
    await second.arrived(/^: queued, place 2, about \d+ s\n\n/);
    await wanted.set({ stallAfterTokens: null, stallAfterPromptTokens: 1 });
    for (const call of running) call.leave();
    await until(() => queuedCalls(agent) === 0);
    agent.later(1_500);
    await second.arrived(": processing the prompt\n\n");
    await wanted.set({ stallAfterPromptTokens: null });
    for (const { answer } of [first, second]) expect((await answer).complete).toBe(true);
  });
});
