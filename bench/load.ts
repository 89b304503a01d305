// Sends one call after another for a while, several at a time, and counts what comes back. An answer that
// isn't whole stops everything: a figure over refusals would be a figure of something else.
import { setTimeout as pause } from "node:timers/promises";
import { Pool, type Dispatcher } from "undici";
import type { Call } from "./calls.ts";

/** A call that takes longer has hung: streams of 100 events take 120 ms. */
const ANSWER_TIMEOUT_MS = 10_000;
const SHOWN_BODY_BYTES = 300;

export interface LoadPlan {
  readonly url: string;
  /** Sent in turn. */
  readonly calls: readonly Call[];
  readonly durationMs: number;
  readonly concurrency: number;
  /** Calls begun in a second, at most; null: as fast as they are answered. */
  readonly perSecond: number | null;
}

export interface LoadCounts {
  readonly answers: number;
  /** Pieces in which the answers' bodies came; of a stream about as many as events, or they were joined on the way. */
  readonly chunks: number;
}

/** @throws Error with the answer, unless it is a complete 200 */
export async function applyLoad(plan: LoadPlan): Promise<LoadCounts> {
  const pool = new Pool(plan.url, {
    connections: plan.concurrency,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
  });
  const started = performance.now();
  let begun = 0;
  let answers = 0;
  let chunks = 0;
  async function worker(): Promise<void> {
    for (;;) {
      const early =
        plan.perSecond === null ? 0 : started + (begun * 1000) / plan.perSecond - performance.now();
      const call = plan.calls[begun % plan.calls.length];
      begun += 1;
      if (early > 0) await pause(early);
      if (call === undefined || performance.now() - started > plan.durationMs) return;
      const answer = await send(pool, call);
      answers += 1;
      chunks += answer.chunks;
    }
  }
  try {
    await Promise.all(Array.from({ length: plan.concurrency }, worker));
  } finally {
    await pool.destroy();
  }
  return { answers, chunks };
}

export interface AnswerSeen {
  readonly chunks: number;
  /** From sending to the first byte of the body, in milliseconds. */
  readonly firstByteMs: number;
}

/** @throws Error with the answer, unless it is a complete 200 */
export function send(pool: Pool, call: Call): Promise<AnswerSeen> {
  return new Promise((resolve, reject) => {
    const { path, headers, body } = call;
    pool.dispatch({ method: "POST", path, headers, body }, new AnswerReader(call, resolve, reject));
  });
}

class AnswerReader implements Dispatcher.DispatchHandler {
  readonly #call: Call;
  readonly #resolve: (seen: AnswerSeen) => void;
  readonly #reject: (error: Error) => void;
  readonly #sentAt = performance.now();
  #status = 0;
  #chunks = 0;
  #firstByteMs = 0;
  #first: Buffer | null = null;
  #last: Buffer | null = null;

  constructor(call: Call, resolve: (seen: AnswerSeen) => void, reject: (error: Error) => void) {
    this.#call = call;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** undici wants one. */
  onRequestStart(): void {}

  onResponseStart(_: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Buffer): void {
    if (this.#first === null) {
      this.#first = bytes;
      this.#firstByteMs = performance.now() - this.#sentAt;
    }
    this.#last = bytes;
    this.#chunks += 1;
  }

  onResponseEnd(): void {
    const whole = this.#last?.includes(this.#call.endsWith) === true;
    if (this.#status === 200 && whole) {
      this.#resolve({ chunks: this.#chunks, firstByteMs: this.#firstByteMs });
      return;
    }
    const shown = this.#first?.subarray(0, SHOWN_BODY_BYTES).toString("utf8") ?? "";
    this.#reject(
      new Error(`a call was answered with ${this.#status}${whole ? "" : ", not whole"}: ${shown}`),
    );
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#reject(new Error(`a call broke: ${error.message}`));
  }
}
