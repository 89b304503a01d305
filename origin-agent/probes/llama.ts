// Asks a llama-server how it is. `/health` needs no key and is answered beside generation.
import * as z from "zod";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import type { HealthAnswer } from "../health-record.ts";
import { request } from "../undici-parts.ts";
import { llamaJson } from "./llama-json.ts";

/**
 * One look at `/health`, told as it came: 200 is ok, 503 is loading (transcripts `health-ready`,
 * `health-loading`).
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

/** Largest answer of `/tokenize` that is read, bytes: ten a token, for far more tokens than any context has. */
const MAX_TOKENIZE_BYTES = 4 * 1024 * 1024;

const Tokenized = z.object({ tokens: z.array(z.unknown()) });

/** How many tokens a text is to this server (transcript `tokenize`); null where it doesn't say. Takes no slot. */
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
