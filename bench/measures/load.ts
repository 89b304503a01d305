// Sends one call after another for a while, several at a time, and counts the answers. An incomplete answer stops the
// measurement: a figure over refusals would be a figure of something else.
import { setTimeout as pause } from "node:timers/promises";
import { Pool, type Dispatcher } from "undici";
import type { Call } from "./calls.ts";

/** A call that takes longer has hung: streams of 100 events take 120 ms. */
const ANSWER_TIMEOUT_MS = 10_000;
const SHOWN_BODY_BYTES = 300;
const SEND_MANY_CONCURRENCY = 8;

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
  const pool = poolOf(plan.url, plan.concurrency);
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

/** Sends `count` calls, eight at a time. @throws Error with the answer, unless each is a complete 200 */
export async function sendMany(url: string, calls: readonly Call[], count: number): Promise<void> {
  const pool = poolOf(url, SEND_MANY_CONCURRENCY);
  let begun = 0;
  async function worker(): Promise<void> {
    for (;;) {
      const call = calls[begun % calls.length];
      begun += 1;
      if (call === undefined || begun > count) return;
      await send(pool, call);
    }
  }
  try {
    await Promise.all(Array.from({ length: SEND_MANY_CONCURRENCY }, worker));
  } finally {
    await pool.destroy();
  }
}

function poolOf(url: string, connections: number): Pool {
  return new Pool(url, { connections, headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS });
}

export interface TimedAnswer {
  readonly chunks: number;
  /** From sending to the first byte of the body. */
  readonly firstByteMs: number;
  /** From sending to the end of the body. */
  readonly totalMs: number;
  /** Between the pieces of the body, in their order. */
  readonly gapsMs: readonly number[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** @throws Error with the answer, unless it is a complete 200 */
export function send(pool: Pool, call: Call): Promise<TimedAnswer> {
  return new Promise((resolve, reject) => {
    const { path, headers, body } = call;
    pool.dispatch({ method: "POST", path, headers, body }, new AnswerReader(call, resolve, reject));
  });
}

class AnswerReader implements Dispatcher.DispatchHandler {
  readonly #call: Call;
  readonly #resolve: (answer: TimedAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #sentAt = performance.now();
  readonly #arrivedAt: number[] = [];
  #status = 0;
  #headers: TimedAnswer["headers"] = {};
  #first: Buffer | null = null;
  #last: Buffer | null = null;

  constructor(call: Call, resolve: (answer: TimedAnswer) => void, reject: (error: Error) => void) {
    this.#call = call;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** undici requires one. */
  onRequestStart(): void {}

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: TimedAnswer["headers"]): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#first ??= bytes;
    this.#last = bytes;
    this.#arrivedAt.push(performance.now());
  }

  onResponseEnd(): void {
    const complete = this.#last?.includes(this.#call.endsWith) === true;
    if (this.#status === 200 && complete) {
      const at = this.#arrivedAt;
      this.#resolve({
        chunks: at.length,
        firstByteMs: (at[0] ?? 0) - this.#sentAt,
        totalMs: performance.now() - this.#sentAt,
        gapsMs: at.slice(1).map((time, index) => time - (at[index] ?? time)),
        headers: this.#headers,
      });
      return;
    }
    const shown = this.#first?.subarray(0, SHOWN_BODY_BYTES).toString("utf8") ?? "";
    this.#reject(
      new Error(`a call was answered with ${this.#status}${complete ? "" : ", incomplete"}: ${shown}`),
    );
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#reject(new Error(`a call broke: ${error.message}`));
  }
}
