// Probes one llama-server: its health, its slots, the number of tokens in a text. Only named fields are read from its
// answers, and nothing of a failure is kept: bodies can echo prompts. Each probe opens a fresh connection: an idle one
// would occupy one of the server's few HTTP threads.
import * as z from "zod";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import { request } from "./undici-parts.ts";

/** The result of `/health`: 200, 503, connection refused, no answer in time, anything else. */
export type HealthAnswer = "ok" | "loading" | "refused" | "timeout" | "other";

/**
 * Reads `/health`, which needs no key and is answered during generation: 200 is ok, 503 is loading (transcripts
 * `health-ready`, `health-loading`).
 * @param origin `http://127.0.0.1:9001`
 */
export async function probeHealth(origin: string, timeoutMs = PROBE_TIMEOUT_MS): Promise<HealthAnswer> {
  try {
    const { statusCode, body } = await request(`${origin}/health`, {
      signal: AbortSignal.timeout(timeoutMs),
      method: "GET",
    });
    await body.dump();
    if (statusCode === 200) return "ok";
    return statusCode === 503 ? "loading" : "other";
  } catch (error) {
    if (error instanceof Error && error.name === "TimeoutError") return "timeout";
    return error instanceof Error && "code" in error && error.code === "ECONNREFUSED" ? "refused" : "other";
  }
}

/** Largest answer of `/tokenize` that is read, in bytes: ten per token, for far more tokens than any context has. */
const MAX_TOKENIZE_BYTES = 4 * 1024 * 1024;

const Tokenized = z.object({ tokens: z.array(z.unknown()) });

/** Counts a text's tokens (transcript `tokenize`); null if the server gives no valid answer. Takes no slot. */
export async function countTokens(
  origin: string,
  apiKey: string,
  text: string,
  timeoutMs = PROBE_TIMEOUT_MS,
): Promise<number | null> {
  const answer = await llamaJson(`${origin}/tokenize`, apiKey, {
    maxBytes: MAX_TOKENIZE_BYTES,
    body: { content: text },
    timeoutMs,
  });
  const parsed = Tokenized.safeParse(answer);
  return parsed.success ? parsed.data.tokens.length : null;
}

/** Largest answer of `/slots` that is read, in bytes: a busy slot takes 1.2 KB. */
const MAX_SLOTS_BYTES = 1024 * 1024;

/** A slot as `/slots` shows it. */
export interface SlotReading {
  readonly id: number;
  readonly busy: boolean;
  /** Changes with each task; null before a slot's first. */
  readonly task: number | null;
  /** Tokens of the answer so far; 0 or null for an idle slot. */
  readonly decoded: number | null;
  /** Tokens of the prompt and of the answer so far; an idle slot still shows those of its last task. */
  readonly tokens: number | null;
  /** Prompt tokens processed so far, without those from the cache. */
  readonly promptProcessed: number | null;
}

const count = z.number().int().min(0);
const countOrNull = count.nullable().catch(null);

const NextToken = z.object({ n_decoded: countOrNull });

const Slots = z
  .array(
    z.object({
      id: count,
      is_processing: z.boolean(),
      id_task: countOrNull.default(null),
      n_prompt_tokens: countOrNull.default(null),
      n_prompt_tokens_processed: countOrNull.default(null),
      // A list with one element; older servers send the element itself.
      next_token: z
        .union([z.tuple([NextToken], z.unknown()), NextToken])
        .nullable()
        .catch(null)
        .default(null),
    }),
  )
  .max(1_024);

/**
 * Reads the server's slots; null without a valid answer, e.g. after a timeout or without `--slots`. A wrong key is a 401
 * (transcript `error-key`).
 * @param origin `http://127.0.0.1:8085`
 */
export async function readSlots(
  origin: string,
  apiKey: string,
): Promise<readonly SlotReading[] | "wrong-key" | null> {
  const answer = await llamaJson(`${origin}/slots`, apiKey, { maxBytes: MAX_SLOTS_BYTES });
  if (answer === WRONG_KEY) return "wrong-key";
  const slots = Slots.safeParse(answer);
  if (!slots.success) return null;
  return slots.data.map((slot) => {
    const next = Array.isArray(slot.next_token) ? slot.next_token[0] : slot.next_token;
    return {
      id: slot.id,
      busy: slot.is_processing,
      task: slot.id_task,
      decoded: next?.n_decoded ?? null,
      tokens: slot.n_prompt_tokens,
      promptProcessed: slot.n_prompt_tokens_processed,
    };
  });
}

interface LlamaRequest {
  /** The longest answer that is read. */
  readonly maxBytes: number;
  /** Sent as JSON in a POST; without it the request is a GET. */
  readonly body?: object;
  /** `PROBE_TIMEOUT_MS` by default. */
  readonly timeoutMs?: number;
}

/** The answer to a key that the server doesn't know; no JSON can be equal to it. */
const WRONG_KEY = Symbol("wrong key");

/** Returns the JSON of a 200, `WRONG_KEY` for a 401, and undefined for anything else. */
async function llamaJson(url: string, apiKey: string, options: LlamaRequest): Promise<unknown> {
  const { maxBytes, body: requestBody, timeoutMs = PROBE_TIMEOUT_MS } = options;
  try {
    const { statusCode, body } = await request(url, {
      method: requestBody === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(requestBody === undefined ? {} : { "content-type": "application/json" }),
      },
      body: requestBody === undefined ? null : JSON.stringify(requestBody),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (statusCode === 401) {
      await body.dump();
      return WRONG_KEY;
    }
    const parts: Buffer[] = [];
    let bytes = 0;
    // Leaving the loop early destroys the body, and the connection with it.
    for await (const part of body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (statusCode !== 200 || bytes > maxBytes) return undefined;
      parts.push(part);
    }
    return statusCode === 200 ? JSON.parse(Buffer.concat(parts).toString("utf8")) : undefined;
  } catch {
    return undefined;
  }
}
