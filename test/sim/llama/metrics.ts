// `/metrics` in Prometheus' text, line by line as transcript "metrics-busy" has it.
import type { Sim } from "./sim.ts";
import type { SlotPool } from "./slots.ts";

type Row = [kind: "counter" | "gauge", name: string, help: string, read: (pool: SlotPool) => number];

/** Per second, from a count and milliseconds. */
const rate = (tokens: number, ms: number): number => (ms > 0 ? (tokens / ms) * 1_000 : 0);

const ROWS: readonly Row[] = [
  [
    "counter",
    "prompt_tokens_total",
    "Number of prompt tokens processed, excluding cached tokens",
    ({ totals }) => totals.promptTokens,
  ],
  [
    "counter",
    "prompt_tokens_cached_total",
    "Number of prompt tokens reused from the cache",
    ({ totals }) => totals.cachedTokens,
  ],
  [
    "counter",
    "prompt_seconds_total",
    "Total time spent processing prompts",
    ({ totals }) => totals.promptMs / 1_000,
  ],
  [
    "counter",
    "tokens_predicted_total",
    "Number of generation tokens processed",
    ({ totals }) => totals.generatedTokens,
  ],
  [
    "counter",
    "tokens_predicted_seconds_total",
    "Total time spent generating tokens",
    ({ totals }) => totals.predictedMs / 1_000,
  ],
  [
    "counter",
    "n_decode_total",
    "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding",
    ({ totals }) => totals.decodes,
  ],
  [
    "counter",
    "n_tokens_max",
    "Largest observed sequence length (prompt + generation)",
    ({ totals }) => totals.mostTokens,
  ],
  ["counter", "spec_decode_num_draft_tokens_total", "Speculative: Total draft tokens generated", () => 0],
  [
    "counter",
    "spec_decode_num_accepted_tokens_total",
    "Speculative: Total draft tokens accepted by the target model",
    () => 0,
  ],
  [
    "counter",
    "spec_decode_num_drafts_total",
    "Speculative: Total speculative decoding verification steps",
    () => 0,
  ],
  [
    "gauge",
    "prompt_tokens_seconds",
    "Average prompt throughput in tokens/s",
    ({ totals }) => rate(totals.promptTokens, totals.promptMs),
  ],
  [
    "gauge",
    "predicted_tokens_seconds",
    "Average generation throughput in tokens/s",
    ({ totals }) => rate(totals.generatedTokens, totals.predictedMs),
  ],
  ["gauge", "requests_processing", "Number of requests processing", (pool) => pool.processing],
  ["gauge", "requests_deferred", "Number of requests deferred", (pool) => pool.deferred],
  [
    "gauge",
    "n_busy_slots_per_decode",
    "Average number of busy slots per llama_decode() call",
    ({ totals }) => totals.busySlots / Math.max(1, totals.decodes),
  ],
];

export function metrics({ pool }: Sim): string {
  pool.nextTask();
  const lines = ROWS.map(([kind, name, help, read]) => {
    const metric = `llamacpp:${name}`;
    return `# HELP ${metric} ${help}\n# TYPE ${metric} ${kind}\n${metric} ${sixDigits(read(pool))}\n`;
  });
  return lines.join("");
}

/** Six significant digits, as the real text has them. */
const sixDigits = (value: number): string =>
  Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
