// `/v1/chat/completions` as llama-server writes it: transcripts "chat", "chat-stream", "chat-stream-usage",
// "chat-stream-timings", "chat-logprobs", "chat-n2".
import { randomId } from "./choice.ts";
import type { Choice, Delta } from "./choice.ts";
import { BUILD, finishReason, logprobs, now, verboseView } from "./dialect.ts";
import type { Dialect, Scene } from "./dialect.ts";
import { toJson } from "./json.ts";
import { timings, usage } from "./timings.ts";

export class ChatDialect implements Dialect {
  readonly id = `chatcmpl-${randomId()}`;
  readonly #scene: Scene;
  readonly #tail: string;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#tail =
      `,"id":${toJson(this.id)},"model":${toJson(scene.alias)},"system_fingerprint":"${BUILD}"` +
      `,"object":"chat.completion.chunk"`;
  }

  event(choice: Choice, delta: Delta): string {
    const deltas = deltaBodies(choice, delta);
    const role = delta.first ? this.#chunk(choice.index, '{"role":"assistant","content":null}', "", "") : "";
    const { timingsPerToken } = this.#scene.params;
    const extra = timingsPerToken ? `,"timings":${toJson(timings(choice.measures()))}` : "";
    const probs =
      delta.tokens.length > 0
        ? `,"logprobs":${toJson({ content: logprobs(delta.tokens, this.#scene) })}`
        : "";
    const last = deltas.length - 1;
    const chunks = deltas.map((body, at) =>
      this.#chunk(choice.index, body, at === last ? probs : "", at === last ? extra : ""),
    );
    return role + chunks.join("");
  }

  finish(choice: Choice): string {
    const { params } = this.#scene;
    const measured = choice.measures();
    const extra = `,"timings":${toJson(timings(measured))}`;
    const verbose = params.verbose ? `,"__verbose":${toJson(verboseView(choice, this.#scene))}` : "";
    const last =
      `data: {"choices":[{"finish_reason":"${finishReason(choice)}","index":${choice.index},"delta":{}}]` +
      `,"created":${now()}${this.#tail}${params.includeUsage ? "" : extra}${verbose}}\n\n`;
    if (!params.includeUsage) return last;
    const counted = `,"usage":${toJson(usage(measured))}${extra}`;
    return `${last}data: {"choices":[],"created":${now()}${this.#tail}${counted}}\n\n`;
  }

  end(): string {
    return "data: [DONE]\n\n";
  }

  whole(choices: readonly Choice[]): string {
    const first = choices[0];
    const measured = first?.measures();
    return toJson({
      choices: choices.map((choice) => this.#choice(choice)),
      created: now(),
      model: this.#scene.alias,
      system_fingerprint: BUILD,
      object: "chat.completion",
      usage: measured && usage(measured),
      id: this.id,
      __verbose: this.#scene.params.verbose && first ? verboseView(first, this.#scene) : undefined,
      timings: measured && timings(measured),
    });
  }

  #chunk(index: number, delta: string, logprobs: string, extra: string): string {
    return (
      `data: {"choices":[{"finish_reason":null,"index":${index},"delta":${delta}${logprobs}}]` +
      `,"created":${now()}${this.#tail}${extra}}\n\n`
    );
  }

  #choice(choice: Choice): Record<string, unknown> {
    const probs = choice.tokens.length > 0 ? { content: logprobs(choice.tokens, this.#scene) } : undefined;
    return {
      finish_reason: finishReason(choice),
      index: choice.index,
      message: chatMessage(choice),
      logprobs: probs,
    };
  }
}

function chatMessage(choice: Choice): Record<string, unknown> {
  const calls = choice.calls.map(({ id, name, arguments: args }) => ({
    type: "function",
    function: { name, arguments: args },
    id,
  }));
  return {
    role: "assistant",
    content: choice.text,
    reasoning_content: choice.reasoning || undefined,
    tool_calls: calls.length > 0 ? calls : undefined,
  };
}

function deltaBodies(choice: Choice, delta: Delta): string[] {
  const bodies: string[] = [];
  if (delta.reasoning !== "") bodies.push(`{"reasoning_content":${JSON.stringify(delta.reasoning)}}`);
  if (delta.content !== "") bodies.push(`{"content":${JSON.stringify(delta.content)}}`);
  for (const { index, name, arguments: args } of delta.calls) {
    const begun = name === "" ? {} : { id: choice.calls[index]?.id, type: "function" };
    const said = { name: name === "" ? undefined : name, arguments: args === "" ? undefined : args };
    bodies.push(toJson({ tool_calls: [{ index, ...begun, function: said }] }));
  }
  return bodies.length > 0 || delta.first ? bodies : ['{"content":""}'];
}
