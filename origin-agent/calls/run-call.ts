// Carries one call to its end: finds it a server, sends it, recovers what breaks, and ends in exactly one of
// three ways: answered, refused, or left by its client. What comes next is always somebody else's decision:
// the edge's (which ports), admission's (when), recovery's (whether again).
import type { ServerResponse } from "node:http";
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import { LOAD_WAIT_MS, RESUME_WAIT_MS } from "../../shared/limits.ts";
import type { Counts } from "../answers/answer-json.ts";
import { AnswerStream } from "../answers/stream.ts";
import { attempt, type AttemptEnd, type AttemptInput } from "./attempt.ts";
import type { ClientAnswer } from "../answers/client-answer.ts";
import { closingEvents, continuationRequest } from "../answers/continuation.ts";
import type { Dispatch, Placement } from "../servers/dispatch.ts";
import type { AnswerFacts, AnswerFormat } from "../answers/format.ts";
import { mediczy } from "../answers/mediczy.ts";
import { noServer } from "./unavailable.ts";
import { openai } from "../answers/openai.ts";
import { othersPassed, tokensOf } from "../answers/choice-tokens.ts";
import { continuation, generatedText, replay, type NextTry, type TryInput } from "./next-try.ts";
import { BROKE_OFF, recover, type BreakCause } from "./recovery.ts";
import { CLIENT_LEFT, type CallReport } from "./report.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { Grant } from "../servers/running-call.ts";
import { raceAbort } from "./race-abort.ts";

const FORMATS: Readonly<Record<Call["format"], AnswerFormat>> = { openai, mediczy };

/** How many servers may fail to count the text they were to continue. */
const MAX_UNCOUNTED = 3;

/** Where it queued for longer at a fallback that went too, its own servers may be coming back by now, milliseconds. */
const LOOK_ANEW_MS = 100;
export interface CallInput {
  readonly call: Call;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly answer: ClientAnswer;
  readonly box: string;
  readonly dispatch: Dispatch;
  readonly budget: RetryBudget;
  /** The model of a port, by this box's fleet file; null for a port it doesn't have. */
  readonly modelOf: (port: number) => string | null;
  /** Tokens of a text, as a server counts them; null where it doesn't say. */
  readonly countTokens: (grant: Grant, text: string) => Promise<number | null>;
  /** A server has it: from here on it may have cost something. */
  readonly onDispatch: (port: number) => void;
  /** Ends the call from outside; its reason is a `Refusal`, `CLIENT_LEFT` among them. */
  readonly signal: AbortSignal;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
}

/** Serves one call to its end. What goes wrong becomes the client's answer and the report. */
export function runCall(input: CallInput): Promise<CallReport> {
  return new CallRunner(input).carry();
}

type Outcome = { readonly over: CallReport } | { readonly again: "replay" | "continue" };

class CallRunner {
  readonly #f: CallInput;
  readonly #format: AnswerFormat;
  readonly #stream: AnswerStream | null;
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
    this.#f = input;
    this.#format = FORMATS[input.call.format];
    this.#stream = input.call.stream ? new AnswerStream(this.#format, input.answer) : null;
    this.#arrivedAt = input.clock();
  }

  async carry(): Promise<CallReport> {
    const { signal, budget, clock } = this.#f;
    budget.called(clock());
    let next: "replay" | "continue" = "replay";
    for (;;) {
      const placed: Placement =
        next === "continue" ? await this.#placeSameModel() : await this.#placeAnywhere();
      if (placed.kind === "refused") return this.#refuse(placed.refusal);
      if (placed.kind === "none") return this.#refuse(noServer(this.#f.call, placed, next === "continue"));
      if (placed.kind === "aborted") return this.#refuse(signal.reason as Refusal);
      const outcome = await this.#try(placed.grant, next);
      if ("over" in outcome) return outcome.over;
      next = outcome.again;
    }
  }

  /** The ports the edge named, waiting for one that loads; then its fallbacks, the first that is up and has room. */
  async #placeAnywhere(): Promise<Placement> {
    const { call, clock } = this.#f;
    for (;;) {
      const first = await this.#place(call.ports, LOAD_WAIT_MS);
      if (first.kind !== "none") return first;
      const since = clock();
      let full: Placement | null = null;
      for (const port of call.fallbackPorts) {
        const placed = await this.#place([port], 0);
        if (placed.kind === "refused" && clock() - since < LOOK_ANEW_MS) full ??= placed;
        else if (placed.kind !== "none") return placed;
      }
      if (full !== null || clock() - since < LOOK_ANEW_MS) return full ?? first;
    }
  }

  /** A different model never finishes somebody's sentence; the same one is waited for while PM2 brings it back. */
  #placeSameModel(): Promise<Placement> {
    const { call, modelOf } = this.#f;
    const model = this.#port === null ? null : modelOf(this.#port);
    const ports = [...new Set([...call.ports, ...call.fallbackPorts])].filter(
      (port) => modelOf(port) === model,
    );
    return this.#place(ports, RESUME_WAIT_MS, true);
  }

  #place(ports: readonly number[], waitMs: number, patient = false): Promise<Placement> {
    const { call, dispatch, signal, clock, answer } = this.#f;
    return dispatch.place({
      call,
      ports,
      waitMs,
      patient: patient && ports.length > 0,
      deadlineAt: this.#arrivedAt + call.deadlineMs,
      begun: this.#started,
      signal,
      onWait: () => answer.accept(clock()),
    });
  }

  async #try(grant: Grant, how: "replay" | "continue"): Promise<Outcome> {
    const { call, answer, clock, onDispatch, box, response, signal } = this.#f;
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
    // Dead before the server could read anything: the same slot, a connection of its own.
    if (end.kind === "stale") end = await attempt(input, "fresh");
    return this.#after(grant, end);
  }

  /** What to send next; a continuation first has the text so far counted by the server that is to continue it. */
  async #nextTry(grant: Grant, how: "replay" | "continue"): Promise<NextTry> {
    const { call, body, countTokens } = this.#f;
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

  /** The server that was to continue the answer has gone too, or is busy: look for another, a few times. */
  #afterUncounted(): Outcome {
    this.#uncounted += 1;
    if (this.#uncounted <= MAX_UNCOUNTED) return this.#signalled() ?? { again: "continue" };
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
        // Nothing was begun here; what an earlier server had begun stays so.
        if (this.#replays + this.#continuations === 0) [this.#started, this.#queueMs] = [false, null];
        return this.#signalled() ?? { again: this.#stream?.delivered === "part" ? "continue" : "replay" };
      case "aborted":
        this.#decoded = grant.decoded();
        void grant.abandon(null);
        return { over: this.#refuse(this.#f.signal.reason as Refusal) };
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
    const { call, budget, clock, signal } = this.#f;
    this.#decoded = grant.decoded();
    const proved = grant.abandon(cause === "stalled" ? "stalled" : "broken");
    if (cause === "died") this.#deaths += 1;
    const told = this.#stream?.delivered ?? "nothing";
    // Of several choices one has its finish reason; whether the others have theirs isn't known.
    const delivered = told === "text" && call.choices > 1 ? "part" : told;
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
        // Twice at once would be twice the work, unseen: the first try must be over on the GPU.
        await raceAbort(proved, signal);
        this.#replays += 1;
        return this.#signalled() ?? { again: "replay" };
      case "continue":
        budget.spend(clock());
        this.#continuations += 1;
        return this.#signalled() ?? { again: "continue" };
    }
  }

  /** The call was ended from outside while something else was done. */
  #signalled(): Outcome | null {
    const { signal } = this.#f;
    return signal.aborted ? { over: this.#refuse(signal.reason as Refusal) } : null;
  }

  /** All of the text is with the client; what is missing are the events that say so. */
  #close(closing: Buffer | null): CallReport {
    const { answer, clock } = this.#f;
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
    const { call, body } = this.#f;
    return call.format === "mediczy" || continuationRequest(body, "")?.includeUsage === true;
  }

  #refuse(refusal: Refusal): CallReport {
    if (refusal === CLIENT_LEFT) {
      this.#f.answer.leave();
      return this.#report("left", null, this.#stream?.recorder.counts ?? null);
    }
    this.#f.answer.fail(refusal, this.#started);
    return this.#report("refused", refusal, this.#stream?.recorder.counts ?? null);
  }

  /** What `/slots` last showed, or what went by in the stream, whichever is more. */
  #estimate(): number | null {
    const passed = this.#stream?.recorder.textEvents ?? null;
    if (this.#decoded === null) return passed;
    return Math.max(this.#decoded, passed ?? 0);
  }

  /** Its slot is free and its client has all of it: nobody waits while the other choices' text is counted. */
  async #answered(grant: Grant, end: AttemptEnd & { readonly kind: "answered" }): Promise<CallReport> {
    const report = this.#report("answered", null, end.counts);
    if (this.#f.call.choices === 1) return report;
    const others = await tokensOf(end.otherTexts, (text) => this.#f.countTokens(grant, text));
    return others === null ? report : { ...report, otherChoicesTokens: others };
  }

  #report(outcome: CallReport["outcome"], refusal: Refusal | null, counts: Counts | null): CallReport {
    return {
      outcome,
      port: this.#port,
      refusal,
      queueMs: this.#queueMs ?? Math.round(this.#f.clock() - this.#arrivedAt),
      firstByteMs: this.#firstByteAt === null ? null : Math.round(this.#firstByteAt - this.#arrivedAt),
      replays: this.#replays,
      continuations: this.#continuations,
      counts,
      otherChoicesTokens: othersPassed(this.#f.call.choices, counts, this.#stream?.recorder ?? null),
      estimate: this.#estimate(),
    };
  }
}
