// Implements Mediczy's own format, which is older than our OpenAI format: a chat is answered as a text completion, with
// an `isha` object that names the server. A stream carries the same object in each event.
import * as z from "zod";
import { parseAnswer, readCounts, readTimings, type AnswerJson } from "./answer-json.ts";
import { otherChoiceTexts } from "./choice-tokens.ts";
import { eventData } from "./sse.ts";
import {
  ERROR_IN_STREAM,
  UNREADABLE,
  type AnswerFacts,
  type AnswerFormat,
  type JsonAnswer,
  type StreamTranslator,
} from "./format.ts";
import { openai } from "./openai.ts";

const Usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() });

/** llama-server's answer to a chat (transcript `chat`); other fields are not passed on. */
const ChatAnswer = z.object({
  id: z.string(),
  created: z.number(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      finish_reason: z.string().nullable(),
      message: z.looseObject({ role: z.string(), content: z.string().nullish() }),
      logprobs: z.unknown().optional(),
    }),
  ),
  usage: Usage,
});

/** One event of a streamed chat (transcripts `chat-stream`, `chat-stream-usage`). Checked by hand: it is the hot path. */
interface ChatEvent {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly ChatEventChoice[];
  readonly usage?: z.infer<typeof Usage>;
}

interface ChatEventChoice {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly delta: Readonly<Record<string, unknown>>;
  readonly logprobs?: unknown;
}

/** Replaces `chatcmpl-` with the old system's prefix. */
function mediczyId(id: string): string {
  return `cmpl-${id.slice(id.indexOf("-") + 1)}`;
}

function ishaObject(facts: AnswerFacts): Readonly<Record<string, unknown>> {
  return {
    port: facts.port,
    box: facts.box,
    agent_type: facts.agentType,
    queue_ms: facts.queueMs,
    fallback_from: facts.fallbackFrom,
  };
}

function readJson(body: Buffer, facts: AnswerFacts): JsonAnswer | null {
  const answer = parseAnswer(body.toString("utf8"));
  const written = answer === null ? null : translateJson(answer, facts);
  if (answer === null || written === null) return null;
  return {
    written,
    counts: readCounts(answer),
    timings: readTimings(answer),
    otherChoiceTexts: otherChoiceTexts(answer),
  };
}

function translateJson(parsed: AnswerJson, facts: AnswerFacts): string | null {
  const { success, data: answer } = ChatAnswer.safeParse(parsed);
  if (!success) return null;
  return JSON.stringify({
    id: mediczyId(answer.id),
    object: "text_completion",
    created: answer.created,
    model: answer.model,
    choices: answer.choices.map((choice) => ({
      index: choice.index,
      text: choice.message.content ?? "",
      message: choice.message,
      finish_reason: choice.finish_reason,
      ...(choice.logprobs === undefined ? {} : { logprobs: choice.logprobs }),
    })),
    usage: answer.usage,
    isha: ishaObject(facts),
  });
}

/** Translates a stream. Delays the event that ends a choice, because the last one must carry `usage` and `isha`. */
class MediczyStream implements StreamTranslator {
  readonly passesText = false;
  complete = false;
  #facts: AnswerFacts;
  #delayed: { readonly event: ChatEvent; readonly choice: ChatEventChoice } | null = null;
  #usage: z.infer<typeof Usage> | null = null;
  #head: { readonly id: string; readonly text: string } | null = null;

  constructor(facts: AnswerFacts) {
    this.#facts = facts;
  }

  /** The last event names the server that finished the answer. */
  continueWith(facts: AnswerFacts): void {
    this.#facts = facts;
  }

  push(events: Buffer): { readonly write: string } | { readonly fail: typeof ERROR_IN_STREAM } {
    let write = "";
    for (const data of eventData(events)) {
      if (data === "[DONE]") {
        write += `${this.#flush(true)}data: [DONE]\n\n`;
        this.complete = true;
        continue;
      }
      const event = parseEvent(data);
      if (event === null) return { fail: data.startsWith('{"error"') ? ERROR_IN_STREAM : UNREADABLE };
      write += this.#event(event);
    }
    return { write };
  }

  #event(event: ChatEvent): string {
    if (event.usage !== undefined) this.#usage = event.usage;
    let write = "";
    for (const choice of event.choices) {
      write += this.#flush(false);
      if (choice.finish_reason === null) write += this.#write(event, choice, "");
      else this.#delayed = { event, choice };
    }
    return write;
  }

  /** Writes the delayed event; the last one carries `usage` and `isha`. */
  #flush(last: boolean): string {
    if (this.#delayed === null) return "";
    const { event, choice } = this.#delayed;
    this.#delayed = null;
    const usage = this.#usage === null ? "" : `,"usage":${JSON.stringify(shownUsage(this.#usage))}`;
    return this.#write(
      event,
      choice,
      last ? `${usage},"isha":${JSON.stringify(ishaObject(this.#facts))}` : "",
    );
  }

  #write(event: ChatEvent, choice: ChatEventChoice, tail: string): string {
    // Id, model and time are the same in every event of an answer: serialized once.
    if (this.#head?.id !== event.id) this.#head = { id: event.id, text: headText(event) };
    const { content } = choice.delta;
    const shown = {
      index: choice.index,
      text: typeof content === "string" ? content : "",
      delta: choice.delta,
      finish_reason: choice.finish_reason,
      ...(choice.logprobs === undefined ? {} : { logprobs: choice.logprobs }),
    };
    return `${this.#head.text}${JSON.stringify(shown)}]${tail}}\n\n`;
  }
}

function headText(event: ChatEvent): string {
  const head = {
    id: mediczyId(event.id),
    object: "text_completion",
    created: event.created,
    model: event.model,
  };
  return `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
}

/** The old system's three counts, without llama-server's details about its cache. */
function shownUsage(usage: z.infer<typeof Usage>): z.infer<typeof Usage> {
  return {
    prompt_tokens: usage.prompt_tokens,
    completion_tokens: usage.completion_tokens,
    total_tokens: usage.total_tokens,
  };
}

function parseEvent(data: string): ChatEvent | null {
  try {
    const event = JSON.parse(data) as Partial<ChatEvent> | null;
    if (event === null || typeof event.id !== "string" || !Array.isArray(event.choices)) return null;
    return event.choices.every((choice) => typeof choice?.delta === "object" && choice.delta !== null)
      ? (event as ChatEvent)
      : null;
  } catch {
    return null;
  }
}

export const mediczy: AnswerFormat = {
  // Without this field a stream has no usage, and our last event must carry it.
  requestFields: (stream) => (stream ? { stream_options: { include_usage: true } } : {}),
  streaming: openai.streaming && { ...openai.streaming, translator: (facts) => new MediczyStream(facts) },
  json: readJson,
};
