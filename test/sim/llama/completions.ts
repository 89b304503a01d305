// `/v1/completions` as llama-server writes it: transcripts "completions", "completions-stream",
// "completions-prompt-list". Its ids begin with `chatcmpl-` too.
import { randomId } from "./choice.ts";
import type { Choice, Delta } from "./choice.ts";
import { BUILD, finishReason, logprobs, now, verboseView } from "./dialect.ts";
import type { Dialect, Scene } from "./dialect.ts";
import { toJson } from "./json.ts";
import { timings, usage } from "./timings.ts";

export class CompletionsDialect implements Dialect {
  readonly id = `chatcmpl-${randomId()}`;
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  event(choice: Choice, delta: Delta): string {
    const { alias, params } = this.#scene;
    const body = {
      choices: [
        {
          text: delta.content,
          index: choice.index,
          logprobs: delta.tokens.length > 0 ? { content: logprobs(delta.tokens, this.#scene) } : null,
          finish_reason: null,
        },
      ],
      created: now(),
      model: alias,
      system_fingerprint: BUILD,
      object: "text_completion",
      id: this.id,
      timings: params.timingsPerToken ? timings(choice.measures()) : undefined,
    };
    return `data: ${toJson(body)}\n\n`;
  }

  finish(choice: Choice): string {
    return `data: ${toJson(this.#body([{ ...this.#choice(choice), text: "", logprobs: null }], choice))}\n\n`;
  }

  end(): string {
    return "data: [DONE]\n\n";
  }

  whole(choices: readonly Choice[]): string {
    const first = choices[0];
    return first
      ? toJson(
          this.#body(
            choices.map((choice) => this.#choice(choice)),
            first,
          ),
        )
      : "{}";
  }

  #choice(choice: Choice): Record<string, unknown> {
    return {
      text: choice.text,
      index: choice.index,
      logprobs: choice.tokens.length > 0 ? { content: logprobs(choice.tokens, this.#scene) } : null,
      finish_reason: finishReason(choice),
    };
  }

  /** Counts are the first choice's alone (README, "Usage counts ONE choice"). */
  #body(choices: Record<string, unknown>[], counted: Choice): Record<string, unknown> {
    const measured = counted.measures();
    return {
      choices,
      created: now(),
      model: this.#scene.alias,
      system_fingerprint: BUILD,
      object: "text_completion",
      usage: usage(measured),
      id: this.id,
      __verbose: this.#scene.params.verbose ? verboseView(counted, this.#scene) : undefined,
      timings: timings(measured),
    };
  }
}
