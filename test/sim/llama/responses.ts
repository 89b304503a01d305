// `/v1/responses` as llama-server writes it: transcripts "responses", "responses-stream". Typed events, no
// `[DONE]`; the counts stand in the last event.
import { randomId } from "./choice.ts";
import type { Call, Choice, Delta } from "./choice.ts";
import { now } from "./dialect.ts";
import type { Dialect, Scene } from "./dialect.ts";
import { toJson } from "./json.ts";
import { timings } from "./timings.ts";

export class ResponsesDialect implements Dialect {
  readonly id = `resp_${randomId()}`;
  readonly #messageId = `msg_${randomId()}`;
  readonly #reasoningId = `rs_${randomId()}`;
  readonly #scene: Scene;
  #saidText = false;
  #saidReasoning = false;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  event(choice: Choice, delta: Delta): string {
    let text = delta.first ? this.#opening() : "";
    if (delta.reasoning !== "") text += this.#reasoning(delta.reasoning);
    if (delta.content !== "") text += this.#text(delta.content);
    for (const { index, name, arguments: args } of delta.calls) {
      const id = choice.calls[index]?.id ?? "";
      if (name !== "") {
        const item = { id: `fc_${id}`, arguments: "", call_id: `call_${id}`, name };
        text += typed("response.output_item.added", {
          item: { ...item, type: "function_call", status: "in_progress" },
        });
      }
      if (args !== "") {
        text += typed("response.function_call_arguments.delta", { delta: args, item_id: `fc_${id}` });
      }
    }
    return text;
  }

  finish(choice: Choice): string {
    const item_id = this.#messageId;
    let text = "";
    if (choice.reasoning !== "") {
      const { status: _, ...item } = this.#reasoningItem(choice.reasoning);
      text += typed("response.output_item.done", { item });
    }
    if (choice.text !== "") {
      text += typed("response.output_text.done", { item_id, text: choice.text });
      text += typed("response.content_part.done", { item_id, part: part(choice.text) });
      text += typed("response.output_item.done", { item: this.#streamedItem(choice.text) });
    }
    for (const call of choice.calls) text += typed("response.output_item.done", { item: callItem(call) });
    const response = {
      id: this.id,
      object: "response",
      created_at: now(),
      status: "completed",
      model: this.#scene.alias,
      output: this.#streamedOutput(choice),
      usage: usage(choice),
    };
    return text + typed("response.completed", { response, timings: timings(choice.measures()) });
  }

  end(): string {
    return "";
  }

  whole(choices: readonly Choice[]): string {
    const choice = choices[0];
    if (!choice) return "{}";
    const output: unknown[] = [];
    if (choice.reasoning !== "") output.push(this.#reasoningItem(choice.reasoning));
    if (choice.text !== "") {
      const content = [part(choice.text)];
      output.push({ content, id: this.#messageId, role: "assistant", status: "completed", type: "message" });
    }
    output.push(...choice.calls.map(callItem));
    return toJson({
      completed_at: now(),
      created_at: now(),
      id: this.id,
      model: this.#scene.alias,
      object: "response",
      output,
      status: "completed",
      usage: usage(choice),
    });
  }

  #opening(): string {
    const response = { id: this.id, object: "response", status: "in_progress" };
    return typed("response.created", { response }) + typed("response.in_progress", { response });
  }

  #reasoning(delta: string): string {
    const opened = this.#saidReasoning;
    this.#saidReasoning = true;
    const item = { ...this.#reasoningItem(""), content: [], status: "in_progress" };
    return (
      (opened ? "" : typed("response.output_item.added", { item })) +
      typed("response.reasoning_text.delta", { delta, item_id: this.#reasoningId })
    );
  }

  #text(delta: string): string {
    const item_id = this.#messageId;
    const opened = this.#saidText;
    this.#saidText = true;
    const message = { content: [], id: item_id, role: "assistant", status: "in_progress", type: "message" };
    const opening =
      typed("response.output_item.added", { item: message }) +
      typed("response.content_part.added", { item_id, part: { type: "output_text", text: "" } });
    return (opened ? "" : opening) + typed("response.output_text.delta", { item_id, delta });
  }

  #reasoningItem(text: string): Record<string, unknown> {
    return {
      id: this.#reasoningId,
      summary: [],
      type: "reasoning",
      content: [{ text, type: "reasoning_text" }],
      encrypted_content: "",
      status: "completed",
    };
  }

  #streamedItem(text: string): Record<string, unknown> {
    const id = this.#messageId;
    return { type: "message", status: "completed", id, content: [part(text)], role: "assistant" };
  }

  #streamedOutput(choice: Choice): unknown[] {
    const output: unknown[] = [];
    if (choice.reasoning !== "") output.push(this.#reasoningItem(choice.reasoning));
    if (choice.text !== "") output.push(this.#streamedItem(choice.text));
    output.push(...choice.calls.map(callItem));
    return output;
  }
}

const typed = (type: string, rest: Record<string, unknown>): string =>
  `event: ${type}\ndata: ${toJson({ type, ...rest })}\n\n`;

const part = (text: string): Record<string, unknown> => ({
  type: "output_text",
  annotations: [],
  logprobs: [],
  text,
});

const callItem = (call: Call): Record<string, unknown> => ({
  id: `fc_${call.id}`,
  type: "function_call",
  status: "completed",
  arguments: call.arguments,
  call_id: `call_${call.id}`,
  name: call.name,
});

function usage(choice: Choice): Record<string, unknown> {
  const { promptTokens, generatedTokens, cachedTokens } = choice.measures();
  return {
    input_tokens: promptTokens,
    output_tokens: generatedTokens,
    total_tokens: promptTokens + generatedTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
  };
}
