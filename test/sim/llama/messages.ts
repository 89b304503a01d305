// `/v1/messages` as llama-server writes it: transcripts "anthropic-messages", "anthropic-messages-stream".
// `input_tokens` leaves out what came from the cache.
import { randomId } from "./choice.ts";
import type { Choice, Delta } from "./choice.ts";
import type { Dialect, Scene } from "./dialect.ts";
import { toJson } from "./json.ts";

type Block = "thinking" | "text" | `call ${number}`;

export class MessagesDialect implements Dialect {
  readonly id = `chatcmpl-${randomId()}`;
  readonly #scene: Scene;
  readonly #opened: Block[] = [];

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  event(choice: Choice, delta: Delta): string {
    let text = delta.first ? this.#start(choice) : "";
    if (delta.reasoning !== "") {
      text += this.#open("thinking", { type: "thinking", thinking: "" });
      text += this.#delta("thinking", { type: "thinking_delta", thinking: delta.reasoning });
    }
    if (delta.content !== "") {
      text += this.#open("text", { type: "text", text: "" });
      text += this.#delta("text", { type: "text_delta", text: delta.content });
    }
    for (const { index, name, arguments: args } of delta.calls) {
      if (name !== "") {
        text += this.#open(`call ${index}`, { type: "tool_use", id: choice.calls[index]?.id, name });
      }
      if (args !== "") {
        text += this.#delta(`call ${index}`, { type: "input_json_delta", partial_json: args });
      }
    }
    return text;
  }

  finish(choice: Choice): string {
    let text = "";
    if (this.#opened.includes("thinking")) {
      text += this.#delta("thinking", { type: "signature_delta", signature: "" });
    }
    for (const index of this.#opened.keys()) text += typed("content_block_stop", { index });
    text += typed("message_delta", {
      delta: { stop_reason: stopReason(choice), stop_sequence: choice.stoppingWord },
      usage: { output_tokens: choice.measures().generatedTokens },
    });
    return text + typed("message_stop", {});
  }

  end(): string {
    return "";
  }

  whole(choices: readonly Choice[]): string {
    const choice = choices[0];
    if (!choice) return "{}";
    const content: unknown[] = [];
    if (choice.reasoning !== "") {
      content.push({ type: "thinking", thinking: choice.reasoning, signature: "" });
    }
    if (choice.text !== "") content.push({ type: "text", text: choice.text });
    for (const { id, name, arguments: args } of choice.calls) {
      content.push({ type: "tool_use", id, name, input: readArguments(args) });
    }
    return toJson({
      id: this.id,
      type: "message",
      role: "assistant",
      content,
      model: this.#scene.alias,
      stop_reason: stopReason(choice),
      stop_sequence: choice.stoppingWord,
      usage: usage(choice, choice.measures().generatedTokens),
    });
  }

  #start(choice: Choice): string {
    return typed("message_start", {
      message: {
        id: this.id,
        type: "message",
        role: "assistant",
        content: [],
        model: this.#scene.alias,
        stop_reason: null,
        stop_sequence: null,
        usage: usage(choice, 0),
      },
    });
  }

  #open(block: Block, content_block: Record<string, unknown>): string {
    if (this.#opened.includes(block)) return "";
    this.#opened.push(block);
    return typed("content_block_start", { index: this.#opened.indexOf(block), content_block });
  }

  #delta(block: Block, delta: Record<string, unknown>): string {
    return typed("content_block_delta", { index: this.#opened.indexOf(block), delta });
  }
}

const typed = (type: string, rest: Record<string, unknown>): string =>
  `event: ${type}\ndata: ${toJson({ type, ...rest })}\n\n`;

function stopReason(choice: Choice): string {
  if (choice.end !== "eos" && choice.end !== "word") return "max_tokens";
  return choice.calls.length === 0 ? "end_turn" : "tool_use";
}

/** Arguments that a cap has cut are an empty object, as in a real answer. */
function readArguments(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return {};
  }
}

function usage(choice: Choice, output_tokens: number): Record<string, unknown> {
  const { promptTokens, cachedTokens } = choice.measures();
  return {
    cache_read_input_tokens: cachedTokens,
    input_tokens: promptTokens - cachedTokens,
    output_tokens,
  };
}
