// Records the course of one call: its tries, their failures and its times. The decisions after a failure and the report
// at the call's end are based on it.
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Counts } from "../answers/answer-json.ts";
import { estimateChoiceTokens } from "../answers/choice-tokens.ts";
import type { AnswerStream } from "../answers/stream.ts";
import type { CallSoFar, Failure } from "./next-try.ts";
import type { CallReport } from "./report.ts";

export class CallProgress {
  readonly #call: Call;
  readonly #stream: AnswerStream | null;
  readonly #clock: () => number;
  readonly arrivedAt: number;
  /** Whether a server may have begun the call: then no other box may get it. */
  started = false;
  /** The port of the last try. */
  port: number | null = null;
  /** Tokens decoded in the last try, by `/slots`. */
  decoded: number | null = null;
  #queueMs: number | null = null;
  #firstByteAt: number | null = null;
  #deaths = 0;
  #replays = 0;
  #continuations = 0;
  #uncounted = 0;

  /** @param stream null if the call isn't streamed. */
  constructor(call: Call, stream: AnswerStream | null, clock: () => number) {
    this.#call = call;
    this.#stream = stream;
    this.#clock = clock;
    this.arrivedAt = clock();
  }

  /** Time until the call got its slot; until now if it has none. */
  get queueMs(): number {
    return this.#queueMs ?? this.#sinceArrival(this.#clock());
  }

  granted(): void {
    if (this.#replays + this.#continuations === 0) this.#queueMs = this.#sinceArrival(this.#clock());
  }

  firstByte(): void {
    this.#firstByteAt ??= this.#clock();
  }

  failed(failure: Failure): void {
    if (failure === "died") this.#deaths += 1;
    if (failure === "uncounted") this.#uncounted += 1;
  }

  retried(how: "replay" | "continue"): void {
    if (how === "replay") this.#replays += 1;
    else this.#continuations += 1;
  }

  /** @param budget whether the box's budget has a retry left. */
  soFar(budget: boolean): CallSoFar {
    const { choices, continuable } = this.#call;
    const delivered = this.#stream?.delivered ?? "nothing";
    return {
      // If the call has several choices, one has its finish reason; the others may not.
      delivered: delivered === "text" && choices > 1 ? "part" : delivered,
      continuable,
      plain: this.#stream?.recorder.plain ?? true,
      deaths: this.#deaths,
      retries: this.#replays + this.#continuations,
      uncounted: this.#uncounted,
      budget,
    };
  }

  /** @param counts those of the answer; by default those of the stream so far. */
  report(
    outcome: CallReport["outcome"],
    refusal: Refusal | null,
    counts: Counts | null = this.#stream?.recorder.counts ?? null,
  ): CallReport {
    const recorder = this.#stream?.recorder ?? null;
    return {
      outcome,
      port: this.port,
      refusal,
      queueMs: this.queueMs,
      firstByteMs: this.#firstByteAt === null ? null : this.#sinceArrival(this.#firstByteAt),
      replays: this.#replays,
      continuations: this.#continuations,
      counts,
      otherChoiceTokens: estimateChoiceTokens(this.#call.choices, counts, recorder),
      estimate: largest(this.decoded, recorder?.textEvents ?? null),
    };
  }

  #sinceArrival(at: number): number {
    return Math.round(at - this.arrivedAt);
  }
}

function largest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
