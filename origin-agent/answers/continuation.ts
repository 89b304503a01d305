// Continues an answer that broke in the middle on another server of the same model: builds the request to that server and
// turns its events into the rest of the first answer. Pure: bytes in, bytes out.
//
// Chat: llama-server continues a trailing assistant message and echoes it (transcripts `chat-prefill`,
// `chat-prefill-stream`). So the text that the client has is sent as that message; the echo must equal it and is cut
// off, and the rest is new. If the echo differs (a template that drops or changes the message), the answer ends with
// the error event: a wrong continuation would be worse than none.
//
// Completions: no template stands between a string prompt and the model, so the prompt with the text appended is continued
// from exactly these bytes, and there is no echo.
import { isAnswer } from "./answer-json.ts";
import { parseObject } from "./parse-object.ts";
import type { AnswerIdentity } from "./recorder.ts";
import { eventData } from "./sse.ts";

type Json = Record<string, unknown>;

/** How the answers of one dialect are continued. */
export interface Continuation {
  /** Returns the request that continues after `text`; null if this body can't be continued. */
  readonly request: (body: Buffer, text: string) => ContinuationRequest | null;
  readonly events: (first: FirstPart, echo: string) => ContinuedEvents;
  /**
   * Builds the end of an answer whose text is complete: the token cap was reached, or only the last events were lost.
   * @param finish the finish reason that the client received; if null, this adds the reason `length`.
   */
  readonly closing: (
    first: FirstPart,
    finish: string | null,
    usage: { readonly promptTokens: number } | null,
  ) => Buffer;
}

/** The request to the next server. */
export interface ContinuationRequest {
  readonly body: Buffer;
  /** The text that the echo must equal. */
  readonly echo: string;
  /** The client's own trailing assistant message: part of the echo, but not generated. */
  readonly prefill: string;
  readonly includeUsage: boolean;
}

/**
 * Returns the original body with the text so far as its trailing assistant message.
 * @param text all text sent to the client; it begins with the client's own trailing assistant message, if there is one.
 * @returns null if this body can't be continued.
 */
export function continuationRequest(body: Buffer, text: string): ContinuationRequest | null {
  const request = parseObject(body.toString("utf8"));
  if (request === null || !Array.isArray(request["messages"])) return null;
  const messages = request["messages"] as readonly Json[];
  const last = messages.at(-1);
  const own = last?.["role"] === "assistant" ? last["content"] : "";
  if (typeof own !== "string" || !(text === "" || text.startsWith(own))) return null;
  const before = last?.["role"] === "assistant" ? messages.slice(0, -1) : messages;
  const continued = text === "" ? messages : [...before, { role: "assistant", content: text }];
  const options = request["stream_options"];
  return {
    body: Buffer.from(JSON.stringify({ ...request, messages: continued })),
    echo: text === "" ? own : text,
    prefill: own,
    includeUsage:
      typeof options === "object" && options !== null && (options as Json)["include_usage"] === true,
  };
}

/** Fields with which a prompt's answer isn't plain text that goes on after the prompt. */
const NOT_PLAIN = [
  "suffix",
  "echo",
  "logprobs",
  "n_probs",
  "grammar",
  "json_schema",
  "response_format",
] as const;

/** Returns the original body with the text so far appended to its prompt; null for anything but one string prompt. */
export function promptContinuation(body: Buffer, text: string): ContinuationRequest | null {
  const request = parseObject(body.toString("utf8"));
  const prompt = request?.["prompt"];
  if (request === null || typeof prompt !== "string") return null;
  if (NOT_PLAIN.some((field) => isSet(request[field])) || (request["n"] ?? 1) !== 1) return null;
  return {
    body: Buffer.from(JSON.stringify({ ...request, prompt: prompt + text })),
    echo: "",
    prefill: "",
    // The last event of a completion always has `usage`.
    includeUsage: false,
  };
}

const isSet = (value: unknown): boolean => value != null && value !== false && value !== "" && value !== 0;

/** The part of the answer that the first server produced. */
export interface FirstPart {
  readonly identity: AnswerIdentity;
  /** The text sent to the client. */
  readonly text: string;
  /** How many tokens of it were generated. */
  readonly tokens: number;
}

/** Reads and writes the text of a dialect's choice. */
interface ChoiceText {
  /** The text, possibly none; null if the choice has more than text. */
  readonly read: (choice: Json) => string | null;
  readonly write: (choice: Json, text: string) => Json;
  readonly object: string;
}

export const CHAT_TEXT: ChoiceText = {
  read: (choice) => {
    const delta = { ...(choice["delta"] as Json | undefined) };
    if (Object.keys(delta).some((key) => key !== "role" && key !== "content")) return null;
    return typeof delta["content"] === "string" ? delta["content"] : "";
  },
  write: (choice, text) => ({ ...choice, delta: text === "" ? {} : { content: text } }),
  object: "chat.completion.chunk",
};

export const COMPLETION_TEXT: ChoiceText = {
  read: ({ text, logprobs }) => (logprobs == null && typeof text === "string" ? text : null),
  write: (choice, text) => ({ ...choice, text }),
  object: "text_completion",
};

/**
 * Turns the next server's events into the rest of the first server's answer: the same id and time, no second role, no
 * echo, and the counts of both parts.
 */
export class ContinuedEvents {
  readonly #first: FirstPart;
  readonly #echo: string;
  readonly #text: ChoiceText;
  #seen = "";
  #joined: boolean;

  /** @param echo the text that the server repeats before it continues. */
  constructor(first: FirstPart, echo: string, text: ChoiceText = CHAT_TEXT) {
    this.#first = first;
    this.#echo = echo;
    this.#text = text;
    this.#joined = echo === "";
  }

  /** @returns the events to send (possibly none), or null if they don't continue the text. */
  push(events: Buffer): Buffer | null {
    let out = "";
    for (const data of eventData(events)) {
      if (data === "[DONE]") {
        if (!this.#joined) return null;
        out += "data: [DONE]\n\n";
        continue;
      }
      const event = parseObject(data);
      if (event === null || !isAnswer(event) || "error" in event) return null;
      const written = this.#event(event);
      if (written === null) return null;
      out += written;
    }
    return Buffer.from(out);
  }

  #event(event: Json): string | null {
    const [choice] = (event["choices"] ?? []) as readonly Json[];
    const piece = choice === undefined ? "" : this.#text.read(choice);
    const fresh = piece === null || piece === "" ? piece : this.#cutEcho(piece);
    if (fresh === null) return null;
    const finish = choice?.["finish_reason"] ?? null;
    // A server that stops inside the echo has continued nothing.
    if (finish !== null && !this.#joined) return null;
    const counted = this.#counted(event);
    if (choice === undefined) return write({ ...counted, choices: [] });
    if (fresh === "" && finish === null) return "";
    return write({ ...counted, choices: [this.#text.write(choice, fresh)] });
  }

  /** The new part of a piece of text; null if the text differs from what the client has. */
  #cutEcho(piece: string): string | null {
    if (this.#joined) return piece;
    this.#seen += piece;
    if (this.#seen.length < this.#echo.length) return this.#echo.startsWith(this.#seen) ? "" : null;
    if (!this.#seen.startsWith(this.#echo)) return null;
    this.#joined = true;
    const rest = this.#seen.slice(this.#echo.length);
    // If no text was sent yet, the echo of the client's own prefill is the first text of the answer.
    return this.#first.text === "" ? this.#echo + rest : rest;
  }

  #counted(event: Json): Json {
    const { id, created } = this.#first.identity;
    const usage = event["usage"] as Json | null | undefined;
    const timings = event["timings"] as Json | null | undefined;
    return {
      ...event,
      id,
      created,
      ...(usage == null ? {} : { usage: this.#shift(usage, "prompt_tokens", "completion_tokens") }),
      ...(timings == null ? {} : { timings: this.#shift(timings, "prompt_n", "predicted_n") }),
    };
  }

  /** The second server counts the first part as prompt; moves those tokens to the answer. */
  #shift(counts: Json, prompt: string, completion: string): Json {
    const { tokens } = this.#first;
    const promptCount = counts[prompt];
    const completionCount = counts[completion];
    if (typeof promptCount !== "number" || typeof completionCount !== "number") return counts;
    return { ...counts, [prompt]: Math.max(0, promptCount - tokens), [completion]: completionCount + tokens };
  }
}

/** The end of a chat, see `Continuation.closing`. */
export function closingEvents(
  first: FirstPart,
  finish: string | null,
  usage: { readonly promptTokens: number } | null,
): Buffer {
  const { identity, tokens } = first;
  const head = { ...identity, object: CHAT_TEXT.object };
  const last =
    finish === null ? write({ choices: [{ finish_reason: "length", index: 0, delta: {} }], ...head }) : "";
  const counted =
    usage === null
      ? ""
      : write({
          choices: [],
          ...head,
          usage: {
            completion_tokens: tokens,
            prompt_tokens: usage.promptTokens,
            total_tokens: usage.promptTokens + tokens,
          },
        });
  return Buffer.from(`${last}${counted}data: [DONE]\n\n`);
}

/** The end of a completion: the counts are in the event with the finish reason, so none follow it. */
function completionEnd({ identity }: FirstPart, finish: string | null): Buffer {
  const choice = { text: "", index: 0, logprobs: null, finish_reason: "length" };
  const last =
    finish === null ? write({ choices: [choice], ...identity, object: COMPLETION_TEXT.object }) : "";
  return Buffer.from(`${last}data: [DONE]\n\n`);
}

export const CHAT_CONTINUATION: Continuation = {
  request: continuationRequest,
  events: (first, echo) => new ContinuedEvents(first, echo),
  closing: closingEvents,
};

export const COMPLETION_CONTINUATION: Continuation = {
  request: promptContinuation,
  events: (first, echo) => new ContinuedEvents(first, echo, COMPLETION_TEXT),
  closing: completionEnd,
};

function write(event: Json): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}
