// Builds what a try of a call sends: the whole request, or a request to continue the answer so far. Pure: counting the
// text so far is the caller's job, because only a server can do it.
import { DIALECTS } from "../../shared/dialects.ts";
import type { Call } from "../../shared/call-headers.ts";
import type { Refusal } from "../../shared/errors.ts";
import type { ContinuedEvents, FirstPart } from "../answers/continuation.ts";
import type { AnswerFormat } from "../answers/format.ts";
import { BROKE_OFF } from "./next-try.ts";

/** Largest share of one token in an answer: 20 log-probabilities take 2.3 KB on average. */
const MAX_TOKEN_BYTES = 4096;

/** The largest size of the other fields of an answer, such as its model, counts and timings. */
const MAX_FRAME_BYTES = 64 * 1024;

export interface TryInput {
  readonly body: Buffer;
  readonly call: Pick<Call, "dialect" | "stream" | "set" | "choices">;
  readonly format: AnswerFormat;
  /** The server's cap on generated tokens. */
  readonly maxTokens: number;
  /** Null for a call that can't be pinned to a slot. */
  readonly slot: number | null;
  /** Whether the slot's cache belongs to the call's scope. */
  readonly cachePrompt: boolean;
}

export type TryRequest =
  | {
      readonly kind: "send";
      readonly body: Buffer;
      readonly fields: Readonly<Record<string, unknown>>;
      /** Turns the events of a continuation into the rest of the client's stream; null for a replay. */
      readonly continued: ContinuedEvents | null;
      /** The largest valid answer. */
      readonly maxAnswerBytes: number;
    }
  /** All tokens have been generated: only the closing events are missing. */
  | { readonly kind: "close"; readonly events: Buffer }
  | { readonly kind: "refuse"; readonly refusal: Refusal };

/** The whole request again. */
export function replay(input: TryInput): TryRequest {
  return send(input, input.body, tokenCap(input), null);
}

/** The text so far without the client's own prefill; null if the request can't be continued. */
export function generatedText(
  { body, format }: Pick<TryInput, "body" | "format">,
  text: string,
): string | null {
  const request = format.streaming?.continuation?.request(body, text) ?? null;
  return request === null ? null : text.slice(request.prefill.length);
}

/** Continues the answer after `first`, with the tokens that are left of the cap. */
export function continuation(input: TryInput, first: FirstPart): TryRequest {
  const how = input.format.streaming?.continuation ?? null;
  const request = how?.request(input.body, first.text) ?? null;
  if (how === null || request === null) return { kind: "refuse", refusal: BROKE_OFF };
  const left = tokenCap(input) - first.tokens;
  if (left <= 0) return { kind: "close", events: how.closing(first, null, null) };
  return send(input, request.body, left, how.events(first, request.echo));
}

function send(input: TryInput, body: Buffer, tokens: number, continued: ContinuedEvents | null): TryRequest {
  const { call, format } = input;
  // A trailing assistant message of the body is echoed in the answer.
  const maxAnswerBytes =
    format.answerBytes?.(body.length) ??
    call.choices * (tokens * MAX_TOKEN_BYTES + body.length) + MAX_FRAME_BYTES;
  return { kind: "send", body, fields: fieldsOf(input, tokens), continued, maxAnswerBytes };
}

function tokenCap({ call, maxTokens }: TryInput): number {
  const wanted = call.set["n_predict"];
  return typeof wanted === "number" && wanted > 0 ? Math.min(wanted, maxTokens) : maxTokens;
}

function fieldsOf(input: TryInput, tokensLeft: number): Record<string, unknown> {
  const { call, format } = input;
  const fields = { ...call.set, ...format.requestFields(call.stream) };
  // The other dialects drop these fields (transcript `isolation-messages`) or don't know them.
  if (DIALECTS[call.dialect].slots !== "pinned") return fields;
  return {
    ...fields,
    n_predict: tokensLeft,
    // The client can't choose a slot or use its cache: the cache may hold another patient's text.
    cache_prompt: input.cachePrompt,
    id_slot: input.slot ?? -1,
  };
}
