// The interface of the four dialects, and the pieces of JSON that several of them write.
import type { Choice, Delta } from "./choice.ts";
import { float } from "./json.ts";
import type { Params } from "./params.ts";
import { hash, pieces } from "./tokens.ts";
import type { Vocabulary } from "./tokens.ts";

/** What every dialect's answer needs to know. */
export interface Scene {
  alias: string;
  params: Params;
  vocabulary: Vocabulary;
  promptText: string;
}

/** One of llama-server's ways to say an answer. The texts are complete server-sent events. */
export interface Dialect {
  id: string;
  /** One event of a choice. */
  event(choice: Choice, delta: Delta): string;
  /** The events that end a choice. */
  finish(choice: Choice): string;
  /** What ends the stream after the last choice. */
  end(): string;
  /** The whole answer if it isn't streamed. */
  whole(choices: readonly Choice[]): string;
}

export const BUILD = "b1-de3ff81";

/** Unix time in seconds. */
export const now = (): number => Math.floor(Date.now() / 1_000);

/** `finish_reason` of chat and completions. */
export function finishReason(choice: Choice): "length" | "stop" | "tool_calls" {
  if (choice.end !== "eos" && choice.end !== "word") return "length";
  return choice.calls.length === 0 ? "stop" : "tool_calls";
}

/** `logprobs.content`: made-up values that repeat for the same token (transcript "chat-logprobs"). */
export function logprobs(tokens: Choice["tokens"], scene: Scene): Record<string, unknown>[] {
  return tokens.map(({ text }) => {
    const first = candidate(text, 0, scene);
    const others = Array.from({ length: scene.params.logprobs - 1 }, (_, at) => {
      const other = pieces(` also${hash(text + at) % 100}`)[0] ?? " also";
      return candidate(at === 0 ? other : `${other}${at}`, at + 1, scene);
    });
    return { ...first, top_logprobs: [first, ...others].slice(0, scene.params.logprobs) };
  });
}

function candidate(text: string, rank: number, scene: Scene): Record<string, unknown> {
  return {
    id: scene.vocabulary.id(text),
    token: text,
    bytes: [...Buffer.from(text)],
    logprob: float(-0.05 - rank - (hash(text) % 1_000) / 2_000),
  };
}

/** What `verbose: true` adds, the rendered prompt among it (README, "Its own log"). */
export function verboseView(choice: Choice, scene: Scene): Record<string, unknown> {
  const measures = choice.measures();
  return {
    index: choice.index,
    content: choice.text,
    tokens: [],
    id_slot: choice.generation?.slot?.id ?? -1,
    stop: true,
    model: scene.alias,
    tokens_predicted: measures.generatedTokens,
    tokens_evaluated: measures.promptTokens,
    prompt: scene.promptText,
    has_new_line: choice.content.includes("\n"),
    truncated: false,
    stop_type: choice.end ?? "none",
    stopping_word: choice.stoppingWord ?? "",
    tokens_cached: measures.promptTokens + measures.generatedTokens - 1,
  };
}
