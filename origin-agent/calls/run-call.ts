// Runs one call: finds it a server, sends it, recovers from breaks, and ends in exactly one of three ways: answered,
// refused, or left by its client. It makes no decision itself: the edge chooses the ports, admission the moment, and
// recovery whether to try again.
import type { ServerResponse } from "node:http";
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { Counts } from "../answers/answer-json.ts";
import { AnswerStream } from "../answers/stream.ts";
import { attempt, type AttemptEnd, type AttemptInput } from "./attempt.ts";
import { closingEvents, continuationRequest } from "../answers/continuation.ts";
import type { AnswerFacts, AnswerFormat } from "../answers/format.ts";
import { mediczy } from "../answers/mediczy.ts";
import { unavailable } from "./unavailable.ts";
import { openai } from "../answers/openai.ts";
import { estimateChoiceTokens, countChoiceTokens } from "../answers/choice-tokens.ts";
import { continuation, generatedText, replay, type NextTry, type TryInput } from "./next-try.ts";
import { BROKE_OFF, recover, type BreakCause } from "./recovery.ts";
import { CLIENT_LEFT, type CallReport } from "./report.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { Grant } from "../servers/running-call.ts";
import { raceAbort } from "./race-abort.ts";
import { ServerSearch, type SearchInput } from "./server-search.ts";

const FORMATS: Readonly<Record<Call["format"], AnswerFormat>> = { openai, mediczy };

/** How often a server may fail to count the text that it should continue. */
const MAX_UNCOUNTED = 3;

export interface CallInput extends SearchInput {
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly box: string;
  readonly budget: RetryBudget;
  /** Counts a text's tokens at the granted server; null if the server doesn't report a count. */
  readonly countTokens: (grant: Grant, text: string) => Promise<number | null>;
  /** Called when a server gets the call: from then on it may have used the GPU. */
  readonly onDispatch: (port: number) => void;
}

/** Serves one call. Every failure becomes the client's answer and part of the report. */
export function runCall(input: CallInput): Promise<CallReport> {
  return new CallRunner(input).run();
}

type Outcome = { readonly over: CallReport } | { readonly again: "replay" | "continue" };

class CallRunner {
  readonly #input: CallInput;
  readonly #format: AnswerFormat;
  readonly #stream: AnswerStream | null;
  readonly #search: ServerSearch;
  readonly #arrivedAt: number;
  #started = false;
  #port: number | null = null;
  #queueMs: number | null = null;
  #firstByteAt: number | null = null;
  #deaths = 0;
  #replays = 0;
  #continuations = 0;
  #uncounted = 0;
  #decoded: number | null = null;

  constructor(input: CallInput) {
    this.#input = input;
    this.#format = FORMATS[input.call.format];
    this.#stream = input.call.stream ? new AnswerStream(this.#format, input.answer) : null;
    this.#arrivedAt = input.clock();
    this.#search = new ServerSearch(input, this.#arrivedAt);
  }

  async run(): Promise<CallReport> {
    const { signal, budget, clock } = this.#input;
    budget.called(clock());
    let next: "replay" | "continue" = "replay";
    for (;;) {
      const placed =
        next === "continue"
          ? await this.#search.sameModel(this.#port, this.#started)
          : await this.#search.anyServer(this.#started);
      if (placed.kind === "refused") return this.#refuse(placed.refusal);
      if (placed.kind === "none")
        return this.#refuse(unavailable(this.#input.call, placed, next === "continue"));
      if (placed.kind === "aborted") return this.#refuse(signal.reason as Refusal);
      const outcome = await this.#try(placed.grant, next);
      if ("over" in outcome) return outcome.over;
      next = outcome.again;
    }
  }

  async #try(grant: Grant, how: "replay" | "continue"): Promise<Outcome> {
    const { call, answer, clock, onDispatch, box, response, signal } = this.#input;
    const { port } = grant.upstream.server;
    this.#queueMs ??= Math.round(clock() - this.#arrivedAt);
    const next = await this.#nextTry(grant, how);
    if (next.kind !== "send") {
      grant.refused(null);
      if (next.kind === "refuse") return { over: this.#refuse(next.refusal) };
      if (next.kind === "close") return { over: this.#close(next.events) };
      return this.#afterUncounted();
    }
    answer.accept(clock());
    this.#port = port;
    this.#started = true;
    onDispatch(port);
    const facts: AnswerFacts = {
      box,
      port,
      queueMs: this.#queueMs,
      fallbackFrom: port === call.wantedPort ? null : call.wantedPort,
    };
    const input: AttemptInput = {
      call,
      body: next.body,
      grant,
      fields: next.fields,
      response,
      answer,
      format: this.#format,
      facts,
      stream: this.#stream,
      continued: next.continued,
      onFirstByte: () => {
        this.#firstByteAt ??= clock();
      },
      signal,
      clock,
    };
    let end = await attempt(input, "kept");
    // The connection died before the server could read anything: use the same slot on a new connection.
    if (end.kind === "stale") end = await attempt(input, "fresh");
    return this.#after(grant, end);
  }

  /** Decides what to send. For a continuation, the server that will continue the text counts its tokens first. */
  async #nextTry(grant: Grant, how: "replay" | "continue"): Promise<NextTry> {
    const { call, body, countTokens } = this.#input;
    const input: TryInput = {
      body,
      set: call.set,
      formatFields: this.#format.requestFields(call.stream),
      maxTokens: grant.upstream.server.maxTokens,
      slot: grant.slot,
      cachePrompt: grant.cachePrompt,
    };
    const recorder = this.#stream?.recorder;
    const identity = recorder?.identity ?? null;
    if (how === "replay" || recorder === undefined || identity === null) return replay(input);
    const text = recorder.text();
    const generated = generatedText(body, text);
    if (generated === null) return { kind: "refuse", refusal: BROKE_OFF };
    const tokens = generated === "" ? 0 : await countTokens(grant, generated);
    return tokens === null ? { kind: "uncounted" } : continuation(input, { identity, text, tokens });
  }

  /** The server that should continue the answer is down too, or busy: searches for another one, a few times. */
  #afterUncounted(): Outcome {
    this.#uncounted += 1;
    if (this.#uncounted <= MAX_UNCOUNTED) return this.#ifAborted() ?? { again: "continue" };
    return { over: this.#refuse({ ...BROKE_OFF, internal: "the text so far could not be counted" }) };
  }

  async #after(grant: Grant, end: AttemptEnd): Promise<Outcome> {
    switch (end.kind) {
      case "answered":
        grant.finish({
          fate: "answered",
          decodedTokens: end.timings?.decodedTokens ?? null,
          decodeMs: end.timings?.decodeMs ?? null,
          promptTokens: end.timings?.promptTokens ?? null,
          promptMs: end.timings?.promptMs ?? null,
        });
        return { over: await this.#answered(grant, end) };
      case "refused":
        grant.refused(null);
        return { over: this.#refuse(end.refusal) };
      case "not-up":
        grant.refused(end.fate);
        // This server began nothing; if an earlier one did, the call stays started.
        if (this.#replays + this.#continuations === 0) [this.#started, this.#queueMs] = [false, null];
        return this.#ifAborted() ?? { again: this.#stream?.delivered === "part" ? "continue" : "replay" };
      case "aborted":
        this.#decoded = grant.decoded();
        void grant.abandon(null);
        return { over: this.#refuse(this.#input.signal.reason as Refusal) };
      case "stale":
      case "broken":
        return this.#recover(
          grant,
          end.kind === "stale" ? "died" : end.cause,
          end.kind === "stale" ? "stale twice" : end.why,
        );
    }
  }

  async #recover(grant: Grant, cause: BreakCause, why: string): Promise<Outcome> {
    const { call, budget, clock, signal } = this.#input;
    this.#decoded = grant.decoded();
    const proved = grant.abandon(cause === "stalled" ? "stalled" : "broken");
    if (cause === "died") this.#deaths += 1;
    const known = this.#stream?.delivered ?? "nothing";
    // If the call has several choices, one has its finish reason; the others may not.
    const delivered = known === "text" && call.choices > 1 ? "part" : known;
    const decision = recover({
      cause,
      delivered,
      continuable: call.continuable,
      plain: this.#stream?.recorder.plain ?? true,
      deaths: this.#deaths,
      retries: this.#replays + this.#continuations,
      budget: budget.left(clock()),
    });
    switch (decision.kind) {
      case "close":
        return { over: this.#close(null) };
      case "give-up":
        return {
          over: this.#refuse({
            ...decision.refusal,
            internal: `${decision.refusal.internal ?? ""} (${why})`,
          }),
        };
      case "replay":
        budget.spend(clock());
        // Two tries at once would double the work unnoticed: the first try must have ended on the GPU.
        await raceAbort(proved, signal);
        this.#replays += 1;
        return this.#ifAborted() ?? { again: "replay" };
      case "continue":
        budget.spend(clock());
        this.#continuations += 1;
        return this.#ifAborted() ?? { again: "continue" };
    }
  }

  /** Ends the call if it was aborted while other work was running. */
  #ifAborted(): Outcome | null {
    const { signal } = this.#input;
    return signal.aborted ? { over: this.#refuse(signal.reason as Refusal) } : null;
  }

  /** Ends a stream whose whole text has reached the client: only the closing events are missing. */
  #close(closing: Buffer | null): CallReport {
    const { answer, clock } = this.#input;
    const recorder = this.#stream?.recorder;
    const identity = recorder?.identity;
    if (this.#stream === null || recorder === undefined || identity == null) return this.#refuse(BROKE_OFF);
    const { counts } = recorder;
    const usage = counts !== null && this.#wantsUsage() ? counts : null;
    const first = { identity, text: "", tokens: counts?.completionTokens ?? 0 };
    const events = closing ?? closingEvents(first, recorder.finish, usage);
    this.#stream.push(events, null, clock());
    answer.endStream();
    return this.#report("answered", null, recorder.counts);
  }

  #wantsUsage(): boolean {
    const { call, body } = this.#input;
    return call.format === "mediczy" || continuationRequest(body, "")?.includeUsage === true;
  }

  #refuse(refusal: Refusal): CallReport {
    if (refusal === CLIENT_LEFT) {
      this.#input.answer.leave();
      return this.#report("left", null, this.#stream?.recorder.counts ?? null);
    }
    this.#input.answer.fail(refusal, this.#started);
    return this.#report("refused", refusal, this.#stream?.recorder.counts ?? null);
  }

  /** Tokens decoded so far: the last count from `/slots` or the number of streamed text events, whichever is larger. */
  #estimate(): number | null {
    const passed = this.#stream?.recorder.textEvents ?? null;
    if (this.#decoded === null) return passed;
    return Math.max(this.#decoded, passed ?? 0);
  }

  /** Counts the other choices' text. No client waits for it: the slot is free and the answer is complete. */
  async #answered(grant: Grant, end: AttemptEnd & { readonly kind: "answered" }): Promise<CallReport> {
    const report = this.#report("answered", null, end.counts);
    if (this.#input.call.choices === 1) return report;
    const others = await countChoiceTokens(end.otherChoiceTexts, (text) =>
      this.#input.countTokens(grant, text),
    );
    return others === null ? report : { ...report, otherChoiceTokens: others };
  }

  #report(outcome: CallReport["outcome"], refusal: Refusal | null, counts: Counts | null): CallReport {
    return {
      outcome,
      port: this.#port,
      refusal,
      queueMs: this.#queueMs ?? Math.round(this.#input.clock() - this.#arrivedAt),
      firstByteMs: this.#firstByteAt === null ? null : Math.round(this.#firstByteAt - this.#arrivedAt),
      replays: this.#replays,
      continuations: this.#continuations,
      counts,
      otherChoiceTokens: estimateChoiceTokens(
        this.#input.call.choices,
        counts,
        this.#stream?.recorder ?? null,
      ),
      estimate: this.#estimate(),
    };
  }
}
