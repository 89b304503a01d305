// Finishes a chat that broke in mid-answer, on another server of the same model: what to ask that server, and
// how its events become the rest of the first answer. Pure: bytes in, bytes out.
//
// llama-server continues a trailing assistant message and echoes it (transcripts `chat-prefill`,
// `chat-prefill-stream`). So the text the client has goes in as that message, the echo must equal it and is
// cut off, and what follows is new. Where it doesn't equal it (a template that drops or changes the message),
// the answer ends with the error event: a wrong joint would be worse than none.
import { isAnswer } from "./answer-json.ts";
import type { AnswerIdentity } from "./recorder.ts";
import { eventData } from "./sse.ts";

type Json = Record<string, unknown>;

/** What to ask the next server. */
export interface ContinuationRequest {
  readonly body: Buffer;
  /** The text the echo must equal. */
  readonly echo: string;
  /** What the client's own trailing assistant message held: in the echo, but not generated. */
  readonly prefill: string;
  readonly includeUsage: boolean;
}

/**
 * The first body with the text so far as its trailing assistant message.
 * @param text all text the client has been sent; with a trailing assistant message of its own it begins with that.
 * @returns null where this body can't be continued.
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

/** What the first server's part of the answer was. */
export interface FirstPart {
  readonly identity: AnswerIdentity;
  /** Text the client has been sent. */
  readonly text: string;
  /** Tokens of it that were generated. */
  readonly tokens: number;
}

/**
 * Turns the next server's events into the rest of the first one's answer: same id and time, no second role,
 * no echo, counts of both parts.
 */
export class ContinuedEvents {
  readonly #first: FirstPart;
  readonly #echo: string;
  #seen = "";
  #joined: boolean;

  /** @param echo what the server will repeat before it goes on. */
  constructor(first: FirstPart, echo: string) {
    this.#first = first;
    this.#echo = echo;
    this.#joined = first.text === "" && echo === "";
  }

  /** @returns the events to go on with (may be none), or null where this is no continuation of that text. */
  push(whole: Buffer): Buffer | null {
    let out = "";
    for (const data of eventData(whole)) {
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
    const delta = { ...(choice?.["delta"] as Json | undefined) };
    if (Object.keys(delta).some((key) => key !== "role" && key !== "content")) return null;
    const fresh = typeof delta["content"] === "string" ? this.#cutEcho(delta["content"]) : "";
    if (fresh === null) return null;
    const finish = choice?.["finish_reason"] ?? null;
    // Before the joint nothing may end: a server that stops inside the echo has not continued anything.
    if (finish !== null && !this.#joined) return null;
    const counted = this.#counted(event);
    if (choice === undefined) return write({ ...counted, choices: [] });
    if (fresh === "" && finish === null) return "";
    return write({
      ...counted,
      choices: [{ ...choice, delta: fresh === "" ? {} : { content: fresh } }],
    });
  }

  /** What is new in a piece of text; null where it departs from the text the client has. */
  #cutEcho(piece: string): string | null {
    if (this.#joined) return piece;
    this.#seen += piece;
    if (this.#seen.length < this.#echo.length) return this.#echo.startsWith(this.#seen) ? "" : null;
    if (!this.#seen.startsWith(this.#echo)) return null;
    this.#joined = true;
    const rest = this.#seen.slice(this.#echo.length);
    // Nothing of the answer had been sent: what a client's own beginning echoes is its first text.
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

  /** The first part's tokens stand in the second's prompt; they were answer. */
  #shift(counts: Json, prompt: string, completion: string): Json {
    const { tokens } = this.#first;
    const asked = counts[prompt];
    const answered = counts[completion];
    if (typeof asked !== "number" || typeof answered !== "number") return counts;
    return { ...counts, [prompt]: Math.max(0, asked - tokens), [completion]: answered + tokens };
  }
}

/**
 * The end of an answer that had all its text: the token cap was reached, or only the last events were lost.
 * @param finish the reason the client was told, or null where it is still owed one: it then reads `length`.
 */
export function closingEvents(
  first: FirstPart,
  finish: string | null,
  usage: { readonly promptTokens: number } | null,
): Buffer {
  const { identity, tokens } = first;
  const head = { ...identity, object: "chat.completion.chunk" };
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

function write(event: Json): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

function parseObject(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}
