// The numbers of one generation and how the dialects write them (transcripts "chat", "chat-stream-timings").
import { float } from "./json.ts";

/** Counts and durations of one generation so far; durations in milliseconds. */
export interface Measures {
  promptTokens: number;
  cachedTokens: number;
  generatedTokens: number;
  promptMs: number;
  predictedMs: number;
}

/** `timings`. The time per token counts the gaps between tokens, so one token has taken no time. */
export function timings(measures: Measures): Record<string, unknown> {
  const { cachedTokens, generatedTokens } = measures;
  const evaluated = measures.promptTokens - cachedTokens;
  const promptMs = round(measures.promptMs);
  const predictedMs = round(measures.predictedMs);
  const gaps = generatedTokens - 1;
  return {
    cache_n: cachedTokens,
    prompt_n: evaluated,
    prompt_ms: float(promptMs),
    prompt_per_token_ms: float(promptMs / evaluated),
    prompt_per_second: float((1e3 / promptMs) * evaluated),
    predicted_n: generatedTokens,
    predicted_ms: float(predictedMs),
    predicted_per_token_ms: float(gaps > 0 ? predictedMs / gaps : 0),
    predicted_per_second: float(gaps > 0 ? (1e3 / predictedMs) * gaps : 0),
  };
}

/** `usage` of chat and completions. */
export const usage = (measures: Measures): Record<string, unknown> => ({
  completion_tokens: measures.generatedTokens,
  prompt_tokens: measures.promptTokens,
  total_tokens: measures.promptTokens + measures.generatedTokens,
  prompt_tokens_details: { cached_tokens: measures.cachedTokens },
});

/** Durations have microseconds and are never nothing, so no rate is infinite. */
const round = (ms: number): number => Math.max(0.001, Math.round(ms * 1_000) / 1_000);
