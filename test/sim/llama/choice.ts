// One choice of an answer while it grows: what of it may already be shown, and in which events. Holds back
// what could be the start of a stop string; joins tokens into events as the `tokensPerEvent` cycle says.
import type { End, Generation, Token } from "./generation.ts";
import type { Measures } from "./timings.ts";

/** What one event of a stream brings. */
export interface Delta {
  first: boolean;
  content: string;
  reasoning: string;
  /** Parts of tool calls; a call's first part has its name. */
  calls: CallPart[];
  tokens: Token[];
}

export interface CallPart {
  index: number;
  name: string;
  arguments: string;
}

/** A tool call of the answer. */
export interface Call {
  id: string;
  name: string;
  arguments: string;
}

export class Choice {
  readonly index: number;
  /** The continued message, which the answer begins with. */
  readonly echo: string;
  content = "";
  reasoning = "";
  readonly calls: Call[] = [];
  tokens: Token[] = [];
  stoppingWord: string | null = null;
  generation: Generation | null = null;
  end: End | null = null;
  readonly #stops: readonly string[];
  readonly #cycle: readonly number[];
  readonly #show: ((delta: Delta) => void) | null;
  readonly #keepTokens: boolean;
  #at = 0;
  #events = 0;
  #unsent = 0;
  #shown = 0;
  #echoed = false;
  #held: Delta = emptyDelta();

  constructor(options: {
    index: number;
    echo: string;
    stops: readonly string[];
    cycle: readonly number[];
    keepTokens: boolean;
    show: ((choice: Choice, delta: Delta) => void) | null;
  }) {
    this.index = options.index;
    this.echo = options.echo;
    this.#stops = options.stops;
    this.#cycle = options.cycle.some((count) => count > 0) ? options.cycle : [1];
    this.#keepTokens = options.keepTokens;
    const { show } = options;
    this.#show = show === null ? null : (delta) => show(this, delta);
  }

  accept(token: Token): "go" | "stop" {
    if (this.#keepTokens) {
      this.tokens.push(token);
      this.#held.tokens.push(token);
    }
    this.#add(token);
    const stopped = token.channel === "content" && this.#meetsStop(token.text.length);
    this.#unsent += 1;
    if (!stopped) this.#pace();
    return stopped ? "stop" : "go";
  }

  /** Shows what is left to show. */
  finish(end: End): void {
    this.end = end;
    if (this.#unsent > 0 || this.#events === 0 || this.#shown < this.content.length) this.#emit(true);
  }

  /** The whole message text, as an answer that isn't streamed shows it. */
  get text(): string {
    return this.echo + this.content;
  }

  measures(): Measures {
    if (this.generation) return this.generation.measures();
    return { promptTokens: 0, cachedTokens: 0, generatedTokens: 0, promptMs: 0, predictedMs: 0 };
  }

  #add(token: Token): void {
    const { channel, text } = token;
    if (channel === "content") {
      this.content += text;
    } else if (channel === "reasoning") {
      this.reasoning += text;
      this.#held.reasoning += text;
    } else {
      this.#addToCall(channel, text);
    }
  }

  /** A name begins a call; arguments belong to the last one. */
  #addToCall(channel: "toolName" | "toolArguments", text: string): void {
    const { calls } = this.#held;
    if (channel === "toolName") {
      this.calls.push({ id: randomId(), name: text, arguments: "" });
      calls.push({ index: this.calls.length - 1, name: text, arguments: "" });
      return;
    }
    const call = this.calls.at(-1);
    if (!call) return;
    call.arguments += text;
    const part = calls.at(-1);
    if (part) part.arguments += text;
    else calls.push({ index: this.calls.length - 1, name: "", arguments: text });
  }

  #meetsStop(added: number): boolean {
    for (const stop of this.#stops) {
      const at = this.content.indexOf(stop, Math.max(0, this.content.length - added - stop.length));
      if (at >= 0) {
        this.content = this.content.slice(0, at);
        this.stoppingWord = stop;
        return true;
      }
    }
    return false;
  }

  #pace(): void {
    this.#sayNothing();
    if (this.#unsent < (this.#cycle[this.#at] ?? 1)) return;
    this.#emit(false);
    this.#at = (this.#at + 1) % this.#cycle.length;
    this.#sayNothing();
  }

  /** The events without a token that the cycle has next. */
  #sayNothing(): void {
    while (this.#cycle[this.#at] === 0) {
      this.#show?.({ ...emptyDelta(), first: this.#events === 0 });
      this.#events += 1;
      this.#at = (this.#at + 1) % this.#cycle.length;
    }
  }

  #emit(last: boolean): void {
    this.#unsent = 0;
    const delta = this.#held;
    this.#held = emptyDelta();
    delta.first = this.#events === 0;
    const end = last ? this.content.length : Math.max(this.#shown, this.content.length - this.#doubtful());
    delta.content = (this.#echoed ? "" : this.echo) + this.content.slice(this.#shown, end);
    this.#shown = end;
    this.#echoed = true;
    // What is held back for a stop string makes no event of its own.
    if (!delta.first && !saysSomething(delta)) return;
    this.#events += 1;
    this.#show?.(delta);
  }

  /** Characters at the end that may turn out to be the start of a stop string. */
  #doubtful(): number {
    let most = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.content.length); length > most; length -= 1) {
        if (this.content.endsWith(stop.slice(0, length))) most = length;
      }
    }
    return most;
  }
}

/** 32 characters as llama-server's ids have them. */
export function randomId(): string {
  const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let id = "";
  for (let at = 0; at < 32; at += 1) id += letters[Math.floor(Math.random() * letters.length)] ?? "0";
  return id;
}

const emptyDelta = (): Delta => ({
  first: false,
  content: "",
  reasoning: "",
  calls: [],
  tokens: [],
});

const saysSomething = (delta: Delta): boolean =>
  delta.content + delta.reasoning !== "" || delta.calls.length > 0;
