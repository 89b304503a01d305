// Runs one call: finds it a server, sends it, recovers from breaks, and ends in exactly one of three ways: answered,
// refused, or left by its client. It makes no decision itself: the edge chooses the ports, admission the moment, and
// `next-try.ts` what follows a failure.
import type { ServerResponse } from "node:http";
import { thrownName, type Refusal } from "../../shared/errors.ts";
import { AnswerStream } from "../answers/stream.ts";
import { attempt, type AttemptEnd, type AttemptInput } from "./attempt.ts";
import type { Booking } from "./booking.ts";
import type { AnswerFormat } from "../answers/format.ts";
import { unavailable } from "./unavailable.ts";
import { countChoiceTokens } from "../answers/choice-tokens.ts";
import { continuation, generatedText, replay, type TryInput, type TryRequest } from "./try-request.ts";
import { BROKE_OFF, nextTry, POISONED, type Failure } from "./next-try.ts";
import { CLIENT_LEFT, type CallReport } from "./report.ts";
import type { PoisonedBodies } from "./poisoned-bodies.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { Grant } from "../servers/running-call.ts";
import { CallProgress } from "./call-progress.ts";
import { endFailedTry, judge } from "./failed-try.ts";
import { doneWithin } from "./done-within.ts";
import { ServerSearch, type SearchInput } from "./server-search.ts";

/** How long a replay waits for the proof that the earlier try has ended: an abort takes a tenth of a second. */
const PROOF_WAIT_MS = 2_000;

export interface CallInput extends SearchInput {
  readonly format: AnswerFormat;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly box: string;
  readonly budget: RetryBudget;
  readonly poisoned: PoisonedBodies;
  /** Counts a text's tokens at the granted server; null if the server doesn't report a count. */
  readonly countTokens: (grant: Grant, text: string) => Promise<number | null>;
  readonly booking: Booking;
}

/** Serves one call. Every failure becomes the client's answer and part of the report. */
export function runCall(input: CallInput): Promise<CallReport> {
  return new CallRunner(input).run();
}

/** What the next try does; `avoidPort`: where the earlier one may still be running, or couldn't connect. */
interface Plan {
  readonly kind: "replay" | "continue";
  readonly avoidPort: number | null;
}

class CallRunner {
  readonly #input: CallInput;
  readonly #format: AnswerFormat;
  readonly #stream: AnswerStream | null;
  readonly #progress: CallProgress;
  readonly #search: ServerSearch;

  constructor(input: CallInput) {
    const { call, answer, clock, format } = input;
    this.#input = input;
    this.#format = format;
    this.#stream =
      call.stream && format.streaming !== null ? new AnswerStream(format.streaming, answer) : null;
    this.#progress = new CallProgress(call, input.body.length, this.#stream, clock);
    this.#search = new ServerSearch(input, this.#progress.arrivedAt);
  }

  async run(): Promise<CallReport> {
    try {
      return await this.#run();
    } catch (error) {
      return this.#refuse({ ...FAILED, internal: thrownName(error) });
    }
  }

  async #run(): Promise<CallReport> {
    const { call, body, signal, budget, poisoned, clock } = this.#input;
    if (poisoned.has(body, clock())) {
      // A server had these bytes before: another box must not get them either.
      this.#progress.started = true;
      return this.#refuse({ ...POISONED, internal: "two servers died on the same body" });
    }
    budget.called(clock());
    let plan: Plan = { kind: "replay", avoidPort: null };
    for (;;) {
      const { started, port } = this.#progress;
      const isContinued = plan.kind === "continue";
      const placed = isContinued
        ? await this.#search.sameModel(port, started)
        : await this.#search.anyServer(started, plan.avoidPort);
      if (placed.kind === "refused") return this.#refuse(placed.refusal);
      if (placed.kind === "none") return this.#refuse(unavailable(call, placed, isContinued));
      if (placed.kind === "aborted") return this.#refuse(signal.reason as Refusal);
      const { grant } = placed;
      try {
        const next = await this.#try(grant, plan);
        if ("outcome" in next) return next;
        plan = next;
      } finally {
        grant.close();
      }
    }
  }

  /** Tries the call once at a server. @returns the call's end, or what to do next. */
  async #try(grant: Grant, plan: Plan): Promise<CallReport | Plan> {
    const { answer, clock, signal } = this.#input;
    const progress = this.#progress;
    progress.granted();
    const request = await this.#request(grant, plan.kind);
    if (request === "uncounted") {
      // A server that died a moment ago may have been chosen again: its health didn't show it yet.
      const failure = (await grant.isUp()) ? "uncounted" : "refused";
      grant.refused(failure === "refused" ? failure : null);
      return this.#recover(failure, "no count", null);
    }
    if (request.kind !== "send") {
      grant.refused(null);
      return request.kind === "refuse" ? this.#refuse(request.refusal) : this.#close(request.events);
    }
    answer.accept(clock());
    answer.waitsFor(() =>
      this.#stream?.delivered === "nothing" ? "processing the prompt" : "waiting for the next token",
    );
    await this.#input.booking.start(grant.upstream.server.port);
    if (signal.aborted) {
      grant.refused(null);
      return this.#refuse(signal.reason as Refusal);
    }
    progress.sentTo(grant.upstream.server);
    const wasStarted = progress.started;
    const input = this.#attemptInput(grant, request);
    let end = await attempt(input, "kept");
    const isResent = end.kind === "failed" && end.failure === "stale";
    if (isResent) end = await attempt(input, "fresh");
    switch (end.kind) {
      case "answered":
        grant.finish(end.timings);
        return this.#answered(grant, end);
      case "rejected":
        grant.refused(null);
        return this.#refuse(end.refusal);
      case "aborted": {
        const ended = progress.spends(grant.abandon(null));
        const report = this.#refuse(signal.reason as Refusal);
        // The client has its answer or has left; only the books wait, for what the GPU did.
        await doneWithin(ended, PROOF_WAIT_MS);
        return { ...report, ...progress.estimates() };
      }
      case "failed": {
        const proved = endFailedTry(grant, end.failure);
        // A loading server states that it began nothing, so another box may still get the call.
        if (end.failure === "loading" && !isResent) progress.started = wasStarted;
        const ended = proved === null ? null : progress.spends(proved);
        return this.#recover(await judge(grant, end.failure, isResent), end.why, ended);
      }
    }
  }

  /** Decides what to send. For a continuation, the server that will continue the text counts its tokens first. */
  async #request(grant: Grant, how: Plan["kind"]): Promise<TryRequest | "uncounted"> {
    const { call, body } = this.#input;
    const input: TryInput = {
      body,
      call,
      format: this.#format,
      maxTokens: grant.upstream.server.maxTokens,
      slot: grant.slot,
      cachePrompt: grant.cachePrompt,
    };
    const recorder = this.#stream?.recorder;
    const identity = recorder?.identity ?? null;
    if (how === "replay") return replay(input);
    if (recorder === undefined || identity === null) return { kind: "refuse", refusal: BROKE_OFF };
    const text = recorder.text();
    const generated = generatedText(input, text);
    if (generated === null) return { kind: "refuse", refusal: BROKE_OFF };
    const tokens = generated === "" ? 0 : await this.#countTokens(grant, generated);
    return tokens === null ? "uncounted" : continuation(input, { identity, text, tokens });
  }

  #attemptInput(grant: Grant, request: TryRequest & { readonly kind: "send" }): AttemptInput {
    const { call, answer, box, response, signal, clock, booking } = this.#input;
    const { port } = grant.upstream.server;
    const progress = this.#progress;
    return {
      call,
      ...request,
      grant,
      response,
      answer,
      format: this.#format,
      facts: {
        box,
        port,
        queueMs: progress.queueMs,
        fallbackFrom: port === call.wantedPort ? null : call.wantedPort,
        agentType: call.agentType,
      },
      stream: this.#stream,
      onSent: () => {
        progress.started = true;
        booking.sent();
      },
      onFirstByte: () => progress.firstByte(),
      signal,
      clock,
    };
  }

  /** @param proved resolves once the try has provably ended on the GPU; null if it never began. */
  async #recover(failure: Failure, why: string, proved: Promise<unknown> | null): Promise<CallReport | Plan> {
    const { body, budget, poisoned, clock, signal } = this.#input;
    const progress = this.#progress;
    progress.failed(failure);
    const next = nextTry(failure, progress.soFar(budget.left(clock())));
    if (next.kind === "close") return this.#close(null);
    if (next.kind === "give-up") {
      if (next.isPoison) poisoned.add(body, clock());
      return this.#refuse({ ...next.refusal, internal: `${next.refusal.internal ?? ""} (${why})` });
    }
    if (next.isRetry) {
      budget.spend(clock());
      progress.retried(next.kind);
    }
    if (next.kind === "continue") return { kind: "continue", avoidPort: null };
    // Two tries at once would double the work unnoticed.
    const isProved = proved === null || (await doneWithin(proved, PROOF_WAIT_MS, signal));
    return { kind: "replay", avoidPort: isProved && failure !== "unconnected" ? null : progress.port };
  }

  /** Ends a stream whose whole text has reached the client: only the closing events are missing. */
  #close(closing: Buffer | null): CallReport {
    const { answer, clock } = this.#input;
    const events = closing ?? this.#closingEvents();
    if (this.#stream === null || events === null) return this.#refuse(BROKE_OFF);
    this.#stream.push(events, null, clock());
    answer.endStream();
    return this.#progress.report("answered", null);
  }

  /** The events after the finish reason; null if only a server can write them. */
  #closingEvents(): Buffer | null {
    if (this.#stream?.complete === true) return Buffer.alloc(0);
    const { call, body } = this.#input;
    const { recorder } = this.#stream ?? {};
    const how = this.#format.streaming?.continuation;
    if (recorder === undefined || recorder.identity === null || how == null) return null;
    const { identity, counts, finish } = recorder;
    const wantsUsage = call.format === "mediczy" || how.request(body, "")?.includeUsage === true;
    const first = { identity, text: "", tokens: counts?.completionTokens ?? 0 };
    return how.closing(first, finish, wantsUsage ? counts : null);
  }

  #refuse(refusal: Refusal): CallReport {
    const { answer } = this.#input;
    if (refusal === CLIENT_LEFT) {
      answer.leave();
      return this.#progress.report("left", null);
    }
    answer.fail(refusal, this.#progress.started);
    return this.#progress.report("refused", refusal);
  }

  /** Counts the other choices' text. No client waits for it: the slot is free and the answer is complete. */
  async #answered(grant: Grant, end: AttemptEnd & { readonly kind: "answered" }): Promise<CallReport> {
    const report = this.#progress.report("answered", null, end.counts);
    if (this.#input.call.choices === 1) return report;
    const others = await countChoiceTokens(end.otherChoiceTexts, (text) => this.#countTokens(grant, text));
    return others === null ? report : { ...report, otherChoiceTokens: others };
  }

  /** Counts a text's tokens at the granted server, in its turn; null if the server doesn't report a count. */
  async #countTokens(grant: Grant, text: string): Promise<number | null> {
    const placed = await this.#search.tokenTurn(grant.upstream.server.port);
    if (placed.kind !== "granted") return null;
    try {
      const tokens = await this.#input.countTokens(grant, text);
      placed.grant.finish(null);
      return tokens;
    } finally {
      placed.grant.close();
    }
  }
}

const FAILED: Refusal = {
  code: "internal",
  message: "The origin agent failed on this request. Search its log for the request id.",
};
