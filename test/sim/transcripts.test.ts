// The simulator answers as a real llama-server did: every recorded exchange is replayed, as it was and with
// other words, caps, slots and another model. A recording without a test fails the suite.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, eventsOf, jsonOf, talk } from "./replay/client.ts";
import type { Talk } from "./replay/client.ts";
import { until } from "../support/until.ts";
import { expectAlike } from "./replay/compare.ts";
import { API_KEY, AS_RECORDED, find, Stage, TRANSCRIPTS, VARIED } from "./replay/stage.ts";
import type { Variation } from "./replay/stage.ts";
import type { SimulatedServer } from "./start.ts";

const ISOLATED = ["--no-cache-prompt", "--cache-ram", "0"];
/** The dialects were recorded with a model whose template is chatml. */
const CHATML = [...ISOLATED, "--chat-template", "chatml"];

/** An answer stands still in its middle, so that what is to be seen there can't be missed. */
const HELD = { stallAfterTokens: 20 };

/** Recordings that need no more than their own request, on a server of their kind, in this order. */
const PLAIN = {
  ready: [
    ..."health-ready health-no-key models props slots-idle chat chat-unknown-fields chat-stream".split(" "),
    ..."chat-stream-usage chat-stream-timings chat-prefill chat-prefill-stream chat-logprobs chat-n2".split(
      " ",
    ),
    ..."completions completions-stream responses anthropic-messages anthropic-messages-stream".split(" "),
    ..."embeddings-off tokenize count-tokens error-bad-json error-no-messages error-messages-type".split(" "),
    ..."error-role error-max-tokens-type error-image error-key error-route".split(" "),
  ],
  dialects: [
    ..."model-named responses-stream tools-required tools-required-stream json-schema json-schema-bad".split(
      " ",
    ),
    ..."detokenize apply-template anthropic-count-tokens anthropic-error responses-error rerank-off".split(
      " ",
    ),
    ..."n-capped completions-prompt-list max-tokens-aliases max-tokens-only-n-predict stop-string".split(" "),
  ],
  embeddings: ["embeddings-on", "embeddings-list", "embeddings-chat"],
};

const STAGED = [
  ..."refused health-loading chat-loading error-context slots-busy metrics-busy client-abort".split(" "),
  ..."slots-after-abort killed-mid-stream terminated-mid-stream isolation-default isolation-cache-asked".split(
    " ",
  ),
  ..."isolation-duplicate-key isolation-messages isolation-responses isolation-slot-out-of-range".split(" "),
  ..."slots-progress isolation-server-default rerank-on".split(" "),
];

it("every recording is replayed below", () => {
  const replayed = [...PLAIN.ready, ...PLAIN.dialects, ...PLAIN.embeddings, ...STAGED];
  expect(replayed.sort()).toEqual(TRANSCRIPTS.map(({ name }) => name).sort());
});

describe.each([
  ["as recorded", AS_RECORDED],
  ["with other words, caps, slots and another model", VARIED],
])("%s", (_, variation) => {
  plain("a ready server", variation, PLAIN.ready, []);
  plain("the dialects", variation, PLAIN.dialects, CHATML);
  plain("an embeddings server", variation, PLAIN.embeddings, [
    ...CHATML,
    "--embeddings",
    "--pooling",
    "mean",
  ]);
  plain("a reranking server", variation, ["rerank-on"], ["--reranking"]);
  busy(variation);
  isolation(variation);
  breaking(variation);
  describe("a server that isn't there yet", () => {
    it("refused, health-loading, chat-loading", async () => {
      const stage = await Stage.open(variation, [], { loadMs: 3_600_000 });
      await stage.replay("health-loading");
      await stage.replay("chat-loading");
      await stage.close();
      await expect(ask(stage.requestOf(find("refused")))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    });
  });
});

/** Opens a server for a group of tests. */
function staged(variation: Variation, flags: string[]): { readonly stage: Stage } {
  let stage: Stage | null = null;
  beforeAll(async () => {
    stage = await Stage.open(variation, flags);
  });
  afterAll(async () => stage?.close());
  return {
    get stage() {
      if (!stage) throw new Error("no server");
      return stage;
    },
  };
}

function plain(kind: string, variation: Variation, names: readonly string[], flags: string[]): void {
  describe(kind, () => {
    const on = staged(variation, flags);
    it.each(names)("%s", async (name) => {
      const seen = await on.stage.replay(name);
      if (name === "stop-string") expect(seen.body).toContain('"content":"(simulat');
      if (name === "props") expect(unmarked(seen.body)).toBe(unmarked(on.stage.vary(recordedBody(name))));
    });
  });
}

const recordedBody = (name: string): string => find(name).response?.body ?? "";

/** Without the one thing in `/props` that is random: the rest is compared letter by letter, `1.0` included. */
const unmarked = (props: string): string => props.replace(/<__media_\w{32}__>/, "");

function busy(variation: Variation): void {
  describe("a busy server", () => {
    const on = staged(variation, []);
    const long = (): Parameters<typeof talk>[0] => {
      const request = on.stage.requestOf(find("client-abort"));
      return { ...request, body: { ...(request.body as object), stream: false, n_predict: 600 } };
    };

    it("error-context", async () => {
      const transcript = find("error-context");
      const request = on.stage.requestOf(transcript);
      const seen = await ask(request);
      const counted = await ask({ ...request, path: "/v1/chat/completions/input_tokens" });
      const tokens = (jsonOf(counted) as { input_tokens: number }).input_tokens;
      const body = on.stage.vary(transcript.response?.body ?? "");
      const context = String(variation.slotContext);
      expect(seen.status).toBe(400);
      expect(seen.body).toBe(body.replaceAll("1518", String(tokens)).replaceAll("1024", context));
    });

    it("slots-busy, metrics-busy, client-abort, slots-after-abort", async () => {
      const { server } = on.stage;
      await server.set(HELD);
      const running: Talk[] = Array.from({ length: variation.parallel + 2 }, () => talk(long()));
      await server.until((state) => state.generating === variation.parallel && state.deferred === 2);
      await until(async () => {
        const slots = jsonOf(await ask(on.stage.requestOf(find("slots-busy")))) as SlotView[];
        return slots.every(({ next_token }) => next_token[0].n_decoded === HELD.stallAfterTokens);
      });
      await expectSlots(on.stage, "slots-busy");
      await expectMetrics(on.stage);
      await server.set({ stallAfterTokens: null, tokensPerSecond: 0 });
      for (const { seen } of running) expect((await seen).status).toBe(200);
      await server.set(HELD);
      await expectAbort(on.stage);
      await server.until((state) => state.generating === 0);
      await expectSlots(on.stage, "slots-after-abort");
    });
  });
}

interface SlotView {
  is_processing: boolean;
  n_prompt_tokens: number;
  n_prompt_tokens_processed: number;
  n_prompt_tokens_cache: number;
  params: { n_predict: number };
  next_token: [{ n_remain: number; n_decoded: number }];
}

async function expectSlots(stage: Stage, name: string): Promise<void> {
  const transcript = find(name);
  const seen = await ask(stage.requestOf(transcript));
  const slots = jsonOf(seen) as SlotView[];
  const recorded = JSON.parse(stage.vary(transcript.response?.body ?? "")) as unknown[];
  expectAlike(slots, recorded.slice(0, stage.variation.parallel));
  for (const slot of slots.filter(({ is_processing }) => is_processing)) {
    const { n_remain, n_decoded } = slot.next_token[0];
    expect(n_remain + n_decoded).toBe(slot.params.n_predict);
    const prompt = slot.n_prompt_tokens_processed + slot.n_prompt_tokens_cache;
    expect(slot.n_prompt_tokens).toBe(prompt + n_decoded);
  }
}

async function expectMetrics(stage: Stage): Promise<void> {
  const transcript = find("metrics-busy");
  const seen = await ask(stage.requestOf(transcript));
  const lines = (text: string): string[] => text.split("\n").map((line) => line.replace(/ [\d.e+]+$/, " N"));
  expect(lines(seen.body)).toEqual(lines(transcript.response?.body ?? ""));
  expect(seen.body).toContain(`llamacpp:requests_processing ${stage.variation.parallel}\n`);
  expect(seen.body).toContain("llamacpp:requests_deferred 2\n");
  expect(Object.keys(seen.headers)).toEqual(Object.keys(transcript.response?.headers ?? {}));
}

async function expectAbort(stage: Stage): Promise<void> {
  const transcript = find("client-abort");
  const request = stage.requestOf(transcript);
  const leaving = talk({ ...request, body: { ...(request.body as object), max_tokens: 600 } });
  const text = await leaving.first;
  leaving.leave();
  const recorded = eventsOf(stage.vary(transcript.response?.chunks?.[0]?.data ?? ""));
  for (const [at, { data }] of eventsOf(text).slice(0, 2).entries()) expectAlike(data, recorded[at]?.data);
  const state = await stage.server.until(({ finished }) => finished.at(-1)?.outcome === "aborted");
  expect(state.finished.at(-1)?.generatedTokens).toBe(HELD.stallAfterTokens);
}

function isolation(variation: Variation): void {
  describe("isolation between callers", () => {
    const on = staged(variation, ISOLATED);
    /** Fills the slot that a recording's own earlier calls had filled. */
    const warm = async (name: string, slot: number): Promise<void> => {
      const request = on.stage.requestOf(find(name));
      await ask({ ...request, body: { ...(request.body as object), id_slot: slot, ignore_eos: false } });
    };
    const slotOf = async (): Promise<number | undefined> =>
      (await on.stage.server.state()).finished.at(-1)?.slot;

    it("isolation-default, isolation-cache-asked, isolation-duplicate-key", async () => {
      await warm("isolation-default", 2);
      for (const name of ["isolation-default", "isolation-cache-asked"]) {
        await on.stage.replay(name);
        expect(await slotOf()).toBe(2);
      }
      const request = on.stage.requestOf(find("isolation-duplicate-key"));
      const seen = await ask({ ...request, body: on.stage.vary(String(request.body)) });
      const answer = jsonOf(seen) as { usage: Record<string, unknown>; timings: Record<string, number> };
      expect(answer.timings["cache_n"]).toBe(Number(answer.usage["prompt_tokens"]) - 1);
      expect(await slotOf()).toBe(2);
      if (variation.moreTokens === 0) on.stage.expectAnswer(seen, find("isolation-duplicate-key"));
    });

    it("isolation-messages", async () => {
      await on.stage.replay("isolation-messages");
    });

    it("isolation-responses", async () => {
      await warm("isolation-default", 1);
      await on.stage.replay("isolation-responses");
      expect(await slotOf()).toBe(1);
    });

    it("isolation-slot-out-of-range", async () => {
      await on.stage.replay("isolation-slot-out-of-range");
      expect(await slotOf()).toBe(99 % variation.parallel);
    });

    it("slots-progress", async () => {
      const { server } = on.stage;
      const request = on.stage.requestOf(find("isolation-default"));
      const pinned = { ...(request.body as object), id_slot: 0, max_tokens: 500, ignore_eos: true };
      for (let slot = 1; slot < variation.parallel; slot += 1) await warm("isolation-default", slot);
      await server.set(HELD);
      const running = talk({ ...request, body: pinned });
      await server.until((state) => state.generating === 1);
      const waiting = talk({ ...request, body: { ...pinned, max_tokens: 2 } });
      await server.until((state) => state.deferred === 1);
      await expectSlots(on.stage, "slots-progress");
      await server.set({ stallAfterTokens: null, tokensPerSecond: 0 });
      expect((await running.seen).status).toBe(200);
      expect((await waiting.seen).status).toBe(200);
    });

    it("isolation-server-default", async () => {
      const stage = await Stage.open(variation);
      const request = stage.requestOf(find("isolation-server-default"));
      await ask(request);
      await stage.replay("isolation-server-default");
      await stage.close();
    });
  });
}

function breaking(variation: Variation): void {
  describe("a server that ends in the middle of a stream", () => {
    const begin = async (name: string, stage: Stage<SimulatedServer>): Promise<Talk> => {
      const request = stage.requestOf(find(name));
      const talking = talk({ ...request, body: { ...(request.body as object), max_tokens: 600 } });
      await talking.first;
      await stage.server.until((state) => state.generating === 1);
      return talking;
    };
    const expectBroken = async (name: string, stage: Stage, talking: Talk): Promise<string> => {
      const seen = await talking.seen;
      const transcript = find(name);
      const recorded = eventsOf(stage.vary(transcript.response?.chunks?.[0]?.data ?? ""));
      for (const [at, { data }] of recorded.entries()) expectAlike(eventsOf(seen.body)[at]?.data, data);
      expect(seen.ended).toBe(transcript.response?.ended);
      expect(seen.body).not.toContain("[DONE]");
      expect(seen.body).not.toContain('"error"');
      return seen.body;
    };

    it("killed-mid-stream", async () => {
      const stage = await Stage.start(variation, { switches: HELD });
      const talking = await begin("killed-mid-stream", stage);
      expect(await stage.server.die()).toEqual({ code: null, signal: "SIGKILL" });
      await expectBroken("killed-mid-stream", stage, talking);
    });

    it("terminated-mid-stream", async () => {
      // Without the silence a token every 100 ms would leave no room for a comment.
      const switches = { pingIntervalMs: 150, sigtermGraceMs: 200 };
      const stage = await Stage.start(variation, { tokensPerSecond: 10, switches });
      const talking = await begin("terminated-mid-stream", stage);
      process.kill(stage.server.pid, "SIGTERM");
      const text = await expectBroken("terminated-mid-stream", stage, talking);
      expect(text.endsWith(find("terminated-mid-stream").response?.chunks?.at(-1)?.data ?? "")).toBe(true);
      expect(await stage.server.exited).toEqual({ code: 0, signal: null });
    });
  });
}

it("a request without the key is refused before its route is looked at", async () => {
  const stage = await Stage.open(AS_RECORDED);
  const none = await ask({ port: stage.server.port, path: "/nope" });
  const anthropic = await ask({ port: stage.server.port, path: "/props", headers: { "x-api-key": API_KEY } });
  expect([none.status, anthropic.status]).toEqual([401, 200]);
  await stage.close();
});
