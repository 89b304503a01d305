// Builds what a try of a call sends: the whole request, or a request to continue the answer so far. Pure: counting the
// text so far is the caller's job, because only a server can do it.
import type { Refusal } from "../../shared/errors.ts";
import {
  closingEvents,
  ContinuedEvents,
  continuationRequest,
  type FirstPart,
} from "../answers/continuation.ts";
import { BROKE_OFF } from "./next-try.ts";

/** Largest share of one token in an answer: 20 log-probabilities take 2.3 KB on average. */
const MAX_TOKEN_BYTES = 4096;

/** The largest size of the other fields of an answer, such as its model, counts and timings. */
const MAX_FRAME_BYTES = 64 * 1024;

export interface TryInput {
  readonly body: Buffer;
  /** Fields that the edge sets on the request. */
  readonly set: Readonly<Record<string, unknown>>;
  /** Fields that the answer's format needs. */
  readonly formatFields: Readonly<Record<string, unknown>>;
  /** The server's cap on generated tokens. */
  readonly maxTokens: number;
  readonly choices: number;
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
export function generatedText(body: Buffer, text: string): string | null {
  const request = continuationRequest(body, text);
  return request === null ? null : text.slice(request.prefill.length);
}

/** Continues the answer after `first`, with the tokens that are left of the cap. */
export function continuation(input: TryInput, first: FirstPart): TryRequest {
  const request = continuationRequest(input.body, first.text);
  if (request === null) return { kind: "refuse", refusal: BROKE_OFF };
  const left = tokenCap(input) - first.tokens;
  if (left <= 0) return { kind: "close", events: closingEvents(first, null, null) };
  return send(input, request.body, left, new ContinuedEvents(first, request.echo));
}

function send(input: TryInput, body: Buffer, tokens: number, continued: ContinuedEvents | null): TryRequest {
  // A trailing assistant message of the body is echoed in the answer.
  const maxAnswerBytes = input.choices * (tokens * MAX_TOKEN_BYTES + body.length) + MAX_FRAME_BYTES;
  return { kind: "send", body, fields: fieldsOf(input, tokens), continued, maxAnswerBytes };
}

function tokenCap({ set, maxTokens }: TryInput): number {
  const wanted = set["n_predict"];
  return typeof wanted === "number" && wanted > 0 ? Math.min(wanted, maxTokens) : maxTokens;
}

function fieldsOf(input: TryInput, tokensLeft: number): Record<string, unknown> {
  return {
    ...input.set,
    ...input.formatFields,
    n_predict: tokensLeft,
    // The client can't choose a slot or use its cache: the cache may hold another patient's text.
    cache_prompt: input.cachePrompt,
    id_slot: input.slot ?? -1,
  };
}
