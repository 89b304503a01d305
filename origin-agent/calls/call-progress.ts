// Records the course of one call: its tries, their failures and its times. The decisions after a failure and the report
// at the call's end are based on it.
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Counts } from "../answers/answer-json.ts";
import { estimateChoiceTokens } from "../answers/choice-tokens.ts";
import type { AnswerStream } from "../answers/stream.ts";
import type { CallSoFar, Failure } from "./next-try.ts";
import type { Server } from "../../shared/fleet.ts";
import type { SlotUsage } from "../slots/slot-lease.ts";
import type { CallReport } from "./report.ts";

/** English has about four characters per token in current vocabularies; a body has little besides its text. */
const BODY_BYTES_PER_TOKEN = 4;

export class CallProgress {
  readonly #call: Call;
  readonly #bodyBytes: number;
  readonly #stream: AnswerStream | null;
  readonly #clock: () => number;
  readonly arrivedAt: number;
  /** Whether a server may have begun the call: then no other box may get it. */
  started = false;
  /** The server of the last try. */
  #server: Server | null = null;
  /** What the last try used on the GPU, by `/slots`. */
  #usage: SlotUsage | null = null;
  #queueMs: number | null = null;
  #firstByteAt: number | null = null;
  #deaths = 0;
  #replays = 0;
  #continuations = 0;
  #uncounted = 0;

  /** @param stream null if the call isn't streamed. */
  constructor(call: Call, bodyBytes: number, stream: AnswerStream | null, clock: () => number) {
    this.#call = call;
    this.#bodyBytes = bodyBytes;
    this.#stream = stream;
    this.#clock = clock;
    this.arrivedAt = clock();
  }

  /** Time until the call got its slot; until now if it has none. */
  get queueMs(): number {
    return this.#queueMs ?? this.#sinceArrival(this.#clock());
  }

  /** The port of the last try. */
  get port(): number | null {
    return this.#server?.port ?? null;
  }

  sentTo(server: Server): void {
    this.#server = server;
    this.#usage = null;
  }

  /** Notes what an abandoned try used, once that is proved. */
  async spends(ended: Promise<SlotUsage | null>): Promise<void> {
    const server = this.#server;
    const usage = await ended;
    if (server === this.#server) this.#usage = usage;
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
      ...this.estimates(),
    };
  }

  /**
   * Tokens of a call without counts. Without the body's size, a client that leaves before each answer would never be
   * charged for its prompts; no prompt is longer than the slot's context.
   */
  estimates(): Pick<CallReport, "estimate" | "promptEstimate"> {
    const byBody = Math.ceil(this.#bodyBytes / BODY_BYTES_PER_TOKEN);
    const prompt = this.#usage?.promptTokens ?? byBody;
    return {
      estimate: largest(this.#usage?.decoded ?? null, this.#stream?.recorder.textEvents ?? null),
      promptEstimate: this.#server === null ? null : Math.min(prompt, this.#server.contextPerSlot),
    };
  }

  #sinceArrival(at: number): number {
    return Math.round(at - this.arrivedAt);
  }
}

function largest(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
}
