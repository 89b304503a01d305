// Replays recordings against one running simulator: as they were recorded, or with other words, other counts
// and other slots, so that an answer learnt by heart would not pass.
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { expect } from "vitest";
import { openLlamaServer } from "../in-process.ts";
import { startLlamaServer } from "../start.ts";
import type { OpenServer, SimulatedServer, StartOptions } from "../start.ts";
import { ask, eventsOf } from "./client.ts";
import type { Seen } from "./client.ts";
import { expectAlike, expectHeaders, expectOneTruth } from "./compare.ts";

/** One recorded exchange. */
export interface Transcript {
  name: string;
  set?: string;
  request: { method: string; path: string; headers?: Record<string, string | number>; body?: unknown };
  response: {
    status: number;
    headers: Record<string, string>;
    body?: string;
    chunks?: { at_ms: number; data: string }[];
    ended: string;
    chunks_note?: string;
  } | null;
}

/** How a replay differs from the recording. */
export interface Variation {
  alias: string;
  parallel: number;
  /** Tokens of context of one slot. */
  slotContext: number;
  /** Added to every cap. */
  moreTokens: number;
  /** Put in the place of recorded words, in requests and in answers that repeat them. */
  words: [from: string, to: string][];
}

export const AS_RECORDED: Variation = {
  alias: "BiMediX2-8B-hf.i1-Q6_K.gguf",
  parallel: 4,
  slotContext: 1_024,
  moreTokens: 0,
  words: [],
};

export const VARIED: Variation = {
  alias: "qwen-0.6b-medicaldataset-f16.gguf",
  parallel: 3,
  slotContext: 768,
  moreTokens: 2,
  words: [
    ["Patient complaint: chest pain", "Insurance claim: my left wrist, broken in a fall on ice"],
    ['"hi"', '"ahoy"'],
    ["hello", "the night before"],
    ["frobnicate", "gadget"],
  ],
};

export const API_KEY = "test-key";

const FIXTURE = new URL("../../fixtures/llama-transcripts.json", import.meta.url);

export const TRANSCRIPTS = JSON.parse(readFileSync(FIXTURE, "utf8")) as Transcript[];

/** Caps a body may carry. */
const CAPS = ["max_tokens", "max_completion_tokens", "n_predict", "max_output_tokens"];
/** Recordings whose count of tokens is the text's own doing, or shows in more than a last count. */
const FIXED_COUNT = new Set(["chat-logprobs", "chat-stream-timings", "stop-string"]);

export class Stage<Server extends OpenServer = OpenServer> {
  readonly server: Server;
  readonly variation: Variation;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(server: Server, variation: Variation) {
    this.server = server;
    this.variation = variation;
  }

  static async open(variation: Variation, flags: string[] = [], more: StartOptions = {}): Promise<Stage> {
    return new Stage(await openLlamaServer(optionsOf(variation, flags, more)), variation);
  }

  /** With a server that is a process of its own and may be killed. */
  static async start(variation: Variation, more: StartOptions): Promise<Stage<SimulatedServer>> {
    return new Stage(await startLlamaServer(optionsOf(variation, [], more)), variation);
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    await this.server.stop();
  }

  /** The request as it goes out here: key, connection and varied body. */
  requestOf(transcript: Transcript): Parameters<typeof ask>[0] {
    const { method, path, headers, body } = transcript.request;
    const key = transcript.name === "error-key" ? "another-key" : API_KEY;
    const sent: Record<string, string> = {};
    if (headers?.["authorization"] !== undefined) sent["authorization"] = `Bearer ${key}`;
    // The first recordings were made with a client that closes, the others with one that keeps connections.
    const closes = transcript.set === undefined;
    if (closes) sent["connection"] = "close";
    const request = {
      port: this.server.port,
      method,
      path,
      headers: sent,
      body: this.#varyBody(transcript, body),
    };
    return closes ? request : { ...request, agent: this.#agent };
  }

  /** Sends the recorded request and holds the answer to the recording. */
  async replay(name: string): Promise<Seen> {
    const transcript = find(name);
    const seen = await ask(this.requestOf(transcript));
    this.expectAnswer(seen, transcript);
    return seen;
  }

  expectAnswer(seen: Seen, transcript: Transcript): void {
    const { response } = transcript;
    if (!response) throw new Error("nothing was answered in this recording");
    expect(seen.status).toBe(response.status);
    expectHeaders(seen.headers, response.headers);
    expect(seen.ended).toBe(response.ended);
    if (response.chunks) this.#expectStream(seen, transcript);
    else this.#expectBody(seen, transcript);
  }

  /** A recorded text as it must be here: other alias, other words, other numbers. */
  vary(text: string): string {
    const { alias, words, parallel, slotContext } = this.variation;
    return [...words, [AS_RECORDED.alias, alias] as const]
      .reduce((varied, [from, to]) => varied.replaceAll(from, to), text)
      .replaceAll('"n_ctx":1024', `"n_ctx":${slotContext}`)
      .replaceAll('"total_slots":4', `"total_slots":${parallel}`)
      .replaceAll("value <= 4,", `value <= ${parallel},`);
  }

  #expectBody(seen: Seen, transcript: Transcript): void {
    const body = transcript.response?.body ?? "";
    const expected = this.#more(JSON.parse(this.vary(body)) as unknown, transcript.name);
    const actual = JSON.parse(seen.body) as unknown;
    if (transcript.name === "slots-idle") (expected as unknown[]).length = this.variation.parallel;
    if (transcript.name === "stop-string") forgetCounts(actual, expected);
    expectAlike(actual, expected);
    expectOneTruth(actual);
  }

  #expectStream(seen: Seen, transcript: Transcript): void {
    const recorded = (transcript.response?.chunks ?? []).map((chunk) => chunk.data);
    const events = eventsOf(this.vary(recorded.join("")));
    const actual = eventsOf(seen.body);
    const more = FIXED_COUNT.has(transcript.name) ? 0 : this.variation.moreTokens;
    const at = events.findLastIndex(({ data }) => bringsText(data));
    const example = events[at];
    if (!example) throw new Error("a recorded stream without text");
    events.splice(at, 0, ...Array.from({ length: more }, () => example));
    expect(actual.map(({ event }) => event)).toEqual(events.map(({ event }) => event));
    for (const [index, { data }] of events.entries()) {
      expectAlike(actual[index]?.data, this.#more(data, transcript.name), `event ${index}`);
      expectOneTruth(actual[index]?.data);
    }
    // What comes with the first token comes in one piece with it.
    const first = eventsOf(recorded[0] ?? "").length;
    expect(eventsOf(seen.chunks[0]?.data ?? "").length).toBeGreaterThanOrEqual(first);
  }

  #varyBody(transcript: Transcript, body: unknown): unknown {
    if (body === undefined || typeof body === "string") return body;
    const text = this.vary(JSON.stringify(body)).replace("<1500 times 'word '>", "word ".repeat(1_500));
    const varied = JSON.parse(text) as Record<string, unknown>;
    if (this.variation.moreTokens > 0 && !FIXED_COUNT.has(transcript.name)) {
      const caps = CAPS.filter((cap) => typeof varied[cap] === "number");
      for (const cap of caps) varied[cap] = Number(varied[cap]) + this.variation.moreTokens;
      if (caps.length > 0) varied["ignore_eos"] = true;
    }
    return varied;
  }

  /** The recorded counts with the tokens asked for on top. */
  #more(value: unknown, name: string): unknown {
    const { moreTokens } = this.variation;
    if (moreTokens === 0 || FIXED_COUNT.has(name)) return value;
    return JSON.parse(JSON.stringify(value), (key, member: unknown) => {
      const counts = ["completion_tokens", "predicted_n", "output_tokens"].includes(key);
      return counts && typeof member === "number" && member > 1 ? member + moreTokens : member;
    });
  }
}

function optionsOf(variation: Variation, flags: string[], more: StartOptions): StartOptions {
  const { alias, parallel, slotContext } = variation;
  return {
    alias,
    parallel,
    context: parallel * slotContext,
    apiKey: API_KEY,
    tokensPerSecond: 2_000,
    promptTokensPerSecond: 0,
    ...more,
    // The recorded model's template knows no tools, and its vocabulary can't be held to a grammar.
    switches: { tools: false, grammar: false, ...more.switches },
    flags,
  };
}

export function find(name: string): Transcript {
  const found = TRANSCRIPTS.find((transcript) => transcript.name === name);
  if (!found) throw new Error(`no recording "${name}"`);
  return found;
}

/** Whether an event of whatever dialect carries a piece of the answer. */
function bringsText(data: unknown): boolean {
  return /"content":"[^"]|"text":"[^"].*"finish_reason":null|text_delta|output_text\.delta/.test(
    JSON.stringify(data),
  );
}

/** If a stop string ends a text, the number of tokens is the text's own. */
function forgetCounts(actual: unknown, expected: unknown): void {
  const generated = (actual as { usage: { completion_tokens: number } }).usage.completion_tokens;
  const { usage, timings } = expected as { usage: Record<string, number>; timings: Record<string, number> };
  usage["completion_tokens"] = generated;
  timings["predicted_n"] = generated;
}
