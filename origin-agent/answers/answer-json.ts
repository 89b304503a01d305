// Reads the fields we need from a server's event or complete answer, and checks their shape first: a broken server can
// send any JSON.
import { parseObject } from "./parse-object.ts";

export interface AnswerJson {
  readonly id?: unknown;
  readonly created?: unknown;
  readonly model?: unknown;
  readonly choices?:
    | readonly {
        readonly index?: unknown;
        readonly delta?: Readonly<Record<string, unknown>> | null;
        readonly message?: Readonly<Record<string, unknown>> | null;
        /** The text of a choice of `/v1/completions`, which has no message and no delta. */
        readonly text?: unknown;
        readonly logprobs?: unknown;
        readonly finish_reason?: unknown;
      }[]
    | null;
  readonly usage?: Readonly<Record<string, unknown>> | null;
  readonly timings?: Readonly<Record<string, unknown>> | null;
}

/** Token counts that the server reported. */
export interface Counts {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** The speed that the server reported; null for a value it didn't report. */
export interface Timings {
  readonly decodedTokens: number | null;
  readonly decodeMs: number | null;
  /** Tokens that were processed, without those from the cache. */
  readonly promptTokens: number | null;
}

export const NO_TIMINGS: Timings = { decodedTokens: null, decodeMs: null, promptTokens: null };

/** @returns null if the data isn't JSON or doesn't have the shape of an answer. */
export function parseAnswer(data: string): AnswerJson | null {
  const value = parseObject(data);
  return isAnswer(value) ? value : null;
}

export function isAnswer(value: unknown): value is AnswerJson {
  if (!isObject(value)) return false;
  const { choices, usage, timings } = value;
  return isObjectOrNone(usage) && isObjectOrNone(timings) && (choices == null || areChoices(choices));
}

function areChoices(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (choice) => isObject(choice) && isObjectOrNone(choice["delta"]) && isObjectOrNone(choice["message"]),
    )
  );
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isObjectOrNone = (value: unknown): boolean => value == null || isObject(value);

/** Reads `usage`, or the last event's `timings` if the request had no `include_usage` (transcript `chat-stream`). */
export function readCounts({ usage, timings }: AnswerJson): Counts | null {
  const prompt = count(usage?.["prompt_tokens"]);
  const completion = count(usage?.["completion_tokens"]);
  if (prompt !== null && completion !== null) {
    const details = usage?.["prompt_tokens_details"];
    const cachedTokens = count(isObject(details) ? details["cached_tokens"] : null) ?? 0;
    return { promptTokens: prompt, cachedTokens, completionTokens: completion };
  }
  const processed = count(timings?.["prompt_n"]);
  const predicted = count(timings?.["predicted_n"]);
  if (processed === null || predicted === null) return null;
  const cachedTokens = count(timings?.["cache_n"]) ?? 0;
  return { promptTokens: processed + cachedTokens, cachedTokens, completionTokens: predicted };
}

export function readTimings({ timings }: AnswerJson): Timings | null {
  if (timings == null) return null;
  return {
    decodedTokens: number(timings["predicted_n"]),
    decodeMs: number(timings["predicted_ms"]),
    promptTokens: number(timings["prompt_n"]),
  };
}

/** An impossible count becomes null: otherwise it would be booked, and the metrics would reject it. */
export const count = (value: unknown): number | null =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;

const number = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

/** The generated text of a message or delta outside its `content`: reasoning and tool calls. */
export function nonContentText(message: Readonly<Record<string, unknown>>): string {
  const { reasoning_content: reasoning, tool_calls: tools } = message;
  const calls = (Array.isArray(tools) ? tools : []) as readonly {
    readonly function?: { readonly name?: unknown; readonly arguments?: unknown };
  }[];
  return [reasoning, ...calls.flatMap((call) => [call?.function?.name, call?.function?.arguments])]
    .filter((part) => typeof part === "string")
    .join("");
}
