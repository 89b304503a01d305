// One task on one slot: prompt, then tokens at the pace of the switches, pausing as they require.
// Knows nothing of HTTP; the listener gets every token.
import type { ApiError } from "./errors.ts";
import type { Params } from "./params.ts";
import type { Slot, SlotPool } from "./slots.ts";
import type { Switches } from "./switches.ts";
import type { Measures } from "./timings.ts";
import { commonPrefix } from "./tokens.ts";

export interface Token {
  text: string;
  channel: "content" | "reasoning" | "toolName" | "toolArguments";
}

/** Why a generation ended; `aborted` when the client had left. */
export type End = "eos" | "word" | "limit" | "aborted";

export interface Work {
  prompt: string[];
  promptText: string;
  params: Params;
  cachePrompt: boolean;
  source: { next(): Token | null };
  onToken(token: Token): "go" | "stop";
  onEnd(end: End): void;
  onError(error: ApiError): void;
}

type Pace = Pick<
  Switches,
  "tokensPerSecond" | "promptTokensPerSecond" | "stallAfterPromptTokens" | "slowFactor"
>;

const NO_PACE: Pace = {
  tokensPerSecond: 0,
  promptTokensPerSecond: 0,
  stallAfterPromptTokens: null,
  slowFactor: 1,
};

/** Tokens sent in one turn of the event loop at most, so that aborts are seen in between. */
const BURST = 64;
/** Reported time of a token without a pace: a busy machine must not look like a slow card. */
const UNPACED_TOKEN_MS = 0.1;
/** A long prompt's progress is counted in steps of this many milliseconds. */
const PROMPT_STEP_MS = 20;

export class Generation {
  readonly work: Work;
  task = -1;
  slot: Slot | null = null;
  cached = 0;
  processed = 0;
  generated: string[] = [];
  state: "waiting" | "prompt" | "decoding" | "ended" = "waiting";
  end: End | null = null;
  hasNewLine = false;
  #pool: SlotPool | null = null;
  #timer: NodeJS.Timeout | undefined;
  #parked = false;
  #stuck = false;
  #due = 0;
  #startedAt = 0;
  #firstAt = 0;
  #lastAt = 0;

  constructor(work: Work) {
    this.work = work;
  }

  start(pool: SlotPool, slot: Slot, task: number): void {
    this.#pool = pool;
    this.slot = slot;
    this.task = task;
    slot.busy = this;
    slot.last = this;
    const { prompt, cachePrompt, promptText } = this.work;
    const { dieOnWord } = pool.board.current;
    if (dieOnWord !== null && promptText.includes(dieOnWord)) process.kill(process.pid, "SIGKILL");
    // The last token of a prompt is always evaluated: without it there is nothing to sample from.
    this.cached = cachePrompt ? Math.min(commonPrefix(slot.tokens, prompt), prompt.length - 1) : 0;
    this.state = "prompt";
    this.#startedAt = performance.now();
    this.#due = this.#startedAt;
    // Not at once: a group's slots are all taken before one of them may be free again.
    setImmediate(() => this.#step());
  }

  /** The client is gone and the wait for that is over: free the slot. */
  abandon(): void {
    if (this.state === "ended") return;
    this.#finish("aborted");
  }

  wake(): void {
    if (!this.#parked || this.state === "ended") return;
    this.#parked = false;
    this.#due = performance.now();
    this.#step();
  }

  measures(): Measures {
    return {
      promptTokens: this.work.prompt.length,
      cachedTokens: this.cached,
      generatedTokens: this.generated.length,
      promptMs: this.#firstAt - this.#startedAt,
      predictedMs: this.#predictedMs,
    };
  }

  get #predictedMs(): number {
    const isPaced = this.#switches().tokensPerSecond > 0;
    return isPaced ? this.#lastAt - this.#firstAt : this.generated.length * UNPACED_TOKEN_MS;
  }

  #step(): void {
    if (this.state === "ended" || this.#standsStill()) return;
    if (this.state === "prompt") this.#evaluate();
    else this.#decode();
  }

  #standsStill(): boolean {
    const pool = this.#pool;
    if (!pool) return true;
    const { stall, stallAfterTokens, stallAfterPromptTokens, dieAfterTokens } = pool.board.current;
    const decoded = this.generated.length;
    const decoding = this.state === "decoding";
    if (dieAfterTokens !== null && decoding && decoded >= dieAfterTokens) {
      // One turn later, so that what was said before has left the process.
      setImmediate(() => process.kill(process.pid, "SIGKILL"));
      this.#parked = true;
    }
    if (stallAfterTokens !== null && decoding && decoded >= stallAfterTokens) {
      this.#parked = true;
      if (!this.#stuck && pool.board.current.faultTimes !== null) {
        this.#stuck = true;
        pool.board.spend("stallAfterTokens");
      }
    }
    const read = stallAfterPromptTokens !== null && this.processed >= stallAfterPromptTokens;
    this.#parked ||= this.#stuck || stall || pool.frozen || (read && !decoding);
    return this.#parked;
  }

  /** Evaluates a part of the prompt; the first token follows as soon as all of it is done. */
  #evaluate(): void {
    const { promptTokensPerSecond, stallAfterPromptTokens, slowFactor } = this.#switches();
    const left = this.work.prompt.length - this.cached - this.processed;
    const part = Math.min(left, (stallAfterPromptTokens ?? Infinity) - this.processed);
    if (left <= 0) {
      this.#promptDone();
      return;
    }
    if (promptTokensPerSecond === 0) {
      this.processed += part;
      this.#step();
      return;
    }
    const perToken = (1_000 * slowFactor) / promptTokensPerSecond;
    const step = Math.min(PROMPT_STEP_MS, part * perToken);
    this.#timer = setTimeout(() => {
      if (this.#standsStill()) return;
      this.processed += Math.min(part, Math.max(1, Math.round(PROMPT_STEP_MS / perToken)));
      this.#step();
    }, step);
  }

  #promptDone(): void {
    const now = performance.now();
    const totals = this.#pool?.totals;
    this.state = "decoding";
    this.#firstAt = now;
    this.#lastAt = now;
    this.#due = now;
    if (totals) {
      totals.promptTokens += this.processed;
      totals.cachedTokens += this.cached;
      totals.promptMs += now - this.#startedAt;
    }
    this.#step();
  }

  #decode(): void {
    const { tokensPerSecond, slowFactor } = this.#switches();
    const interval = tokensPerSecond > 0 ? (1_000 * slowFactor) / tokensPerSecond : 0;
    for (let sent = 0; sent < BURST && performance.now() >= this.#due; sent += 1) {
      this.#due += interval;
      if (!this.#token()) return;
      if (this.#standsStill()) return;
    }
    this.#timer = setTimeout(() => this.#step(), Math.max(0, this.#due - performance.now()));
  }

  /** Generates one token; false when that was the end. */
  #token(): boolean {
    const { params, prompt, source } = this.work;
    if (params.predict === 0) return this.#finish("limit");
    const token = source.next();
    if (token === null) return this.#finish("eos");
    this.generated.push(token.text);
    this.#lastAt = performance.now();
    this.hasNewLine ||= token.text.includes("\n");
    this.#count(prompt.length + this.generated.length);
    if (this.work.onToken(token) === "stop") return this.#finish("word");
    const full = prompt.length + this.generated.length >= (this.#pool?.context ?? 0);
    if (this.generated.length === params.predict || full) return this.#finish("limit");
    return true;
  }

  #count(length: number): void {
    const totals = this.#pool?.totals;
    if (!totals) return;
    totals.decodes += 1;
    totals.busySlots += this.#pool?.processing ?? 0;
    totals.mostTokens = Math.max(totals.mostTokens, length);
  }

  #finish(end: End): false {
    this.end = end;
    this.#parked = false;
    clearTimeout(this.#timer);
    const begun = this.state !== "waiting";
    this.state = "ended";
    const { slot } = this;
    const pool = this.#pool;
    this.work.onEnd(end);
    if (begun && slot && pool) {
      pool.totals.generatedTokens += this.generated.length;
      pool.totals.predictedMs += this.#predictedMs;
      // The last token was sampled, not evaluated, so the cache doesn't hold it.
      pool.release(slot, [...this.work.prompt, ...this.generated.slice(0, -1)]);
    }
    return false;
  }

  #switches(): Pace {
    return this.#pool?.board.current ?? NO_PACE;
  }
}
