// Probes one llama-server: its health, its slots, the number of tokens in a text. Only named fields are read from its
// answers, and nothing of a failure is kept: bodies can echo prompts.
import * as z from "zod";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import type { ProbeConnection } from "./probe-connection.ts";
import { request } from "./undici-parts.ts";

/** The result of `/health`: 200, 503, connection refused, no answer in time, anything else. */
export type HealthAnswer = "ok" | "loading" | "refused" | "timeout" | "other";

/** Largest answer of `/health` that is read, in bytes: the status is all that counts. */
const MAX_HEALTH_BYTES = 64 * 1024;

/**
 * Reads `/health`, which needs no key and is answered during generation: 200 is ok, 503 is loading (transcripts
 * `health-ready`, `health-loading`).
 */
export async function probeHealth(
  connection: ProbeConnection,
  timeoutMs = PROBE_TIMEOUT_MS,
): Promise<HealthAnswer> {
  const answer = await connection.get({
    path: "/health",
    apiKey: null,
    maxBytes: MAX_HEALTH_BYTES,
    timeoutMs,
    keep: false,
  });
  if (typeof answer === "string") return answer === "broken" ? "other" : answer;
  if (answer.status === 200) return "ok";
  return answer.status === 503 ? "loading" : "other";
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
  const parsed = Tokenized.safeParse(await tokenize(origin, apiKey, text, timeoutMs));
  return parsed.success ? parsed.data.tokens.length : null;
}

/** Returns the JSON of a 200, and undefined for anything else. */
async function tokenize(origin: string, apiKey: string, text: string, timeoutMs: number): Promise<unknown> {
  try {
    const { statusCode, body } = await request(`${origin}/tokenize`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ content: text }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const parts: Buffer[] = [];
    let bytes = 0;
    // Leaving the loop early destroys the body, and the connection with it.
    for await (const part of body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (statusCode !== 200 || bytes > MAX_TOKENIZE_BYTES) return undefined;
      parts.push(part);
    }
    return statusCode === 200 ? JSON.parse(Buffer.concat(parts).toString("utf8")) : undefined;
  } catch {
    return undefined;
  }
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
 * @param keep whether the next reading follows within milliseconds
 */
export async function readSlots(
  connection: ProbeConnection,
  apiKey: string,
  keep = false,
): Promise<readonly SlotReading[] | "wrong-key" | null> {
  const limits = { maxBytes: MAX_SLOTS_BYTES, timeoutMs: PROBE_TIMEOUT_MS };
  const answer = await connection.get({ path: "/slots", apiKey, keep, ...limits });
  if (typeof answer === "string") return null;
  if (answer.status === 401) return "wrong-key";
  return answer.status === 200 ? slotsOf(answer.body) : null;
}

function slotsOf(body: Buffer): readonly SlotReading[] | null {
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
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
