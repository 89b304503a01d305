// Compares two answers in everything but noise: keys in the same order, the same types, the same
// values wherever a value means something, and counts that add up in the same way.
import { expect } from "vitest";

type Json = Record<string, unknown>;

/** Values that differ from run to run; only their type is compared. */
const NOISE = new Set(
  (
    "created created_at completed_at content text token bytes logprob embedding relevance_score delta " +
    "prompt_tokens total_tokens input_tokens cached_tokens cache_read_input_tokens cache_n prompt_n prompt_ms " +
    "prompt_per_token_ms prompt_per_second predicted_ms predicted_per_token_ms predicted_per_second media_marker " +
    "id_task n_prompt_tokens n_prompt_tokens_processed n_prompt_tokens_cache n_remain n_decoded tokens " +
    "max_tokens n_predict"
  ).split(" "),
);

/** Ids: the same beginning and the same length, other letters. */
const IDS = new Set(["id", "item_id"]);

/** Compares two JSON values; `path` says where they differ. */
export function expectAlike(actual: unknown, recorded: unknown, path = "$"): void {
  expect(kind(actual), `${path}: type`).toBe(kind(recorded));
  if (Array.isArray(recorded)) {
    expect((actual as unknown[]).length, `${path}: length`).toBe(recorded.length);
    for (const [at, item] of recorded.entries())
      expectAlike((actual as unknown[])[at], item, `${path}[${at}]`);
  } else if (isObject(recorded)) {
    expect(Object.keys(actual as Json), `${path}: keys`).toEqual(Object.keys(recorded));
    for (const [key, value] of Object.entries(recorded)) {
      expectMember(key, (actual as Json)[key], value, `${path}.${key}`);
    }
    expectSums(actual as Json, recorded, path);
  } else {
    expect(actual, path).toEqual(recorded);
  }
}

function expectMember(key: string, actual: unknown, recorded: unknown, path: string): void {
  if (IDS.has(key) && typeof recorded === "string" && /^[a-z]+[-_]/.test(recorded)) {
    const shape = (id: string): [string, number] => [id.slice(0, id.search(/[-_]/) + 1), id.length];
    expect(shape(String(actual)), path).toEqual(shape(recorded));
  } else if (key === "id" && typeof recorded === "number" && path.includes("logprobs")) {
    expect(typeof actual, path).toBe("number");
  } else if (NOISE.has(key) && !isObject(recorded) && !hasObjects(recorded)) {
    expect(kind(actual), `${path}: type`).toBe(kind(recorded));
    if (typeof recorded === "string") expect(actual === "", `${path}: empty`).toBe(recorded === "");
    if (key === "embedding" && Array.isArray(recorded)) expect(actual).toHaveLength(recorded.length);
  } else {
    expectAlike(actual, recorded, path);
  }
}

/** Counts add up, and what came from the cache is nothing, a part, or all but one token, as recorded. */
function expectSums(actual: Json, recorded: Json, path: string): void {
  const counts = readCounts(actual);
  const before = readCounts(recorded);
  if (!counts || !before) return;
  expect(counts.total, `${path}: total`).toBe(counts.prompt + counts.generated);
  expect(share(counts), `${path}: share from the cache`).toBe(share(before));
}

interface Counts {
  prompt: number;
  cached: number;
  generated: number;
  total: number;
}

/** The counts of a `usage` or `timings` object of whatever dialect; null for other objects. */
function readCounts(value: Json): Counts | null {
  const of = (key: string): number => Number(value[key]);
  if ("prompt_tokens_details" in value) {
    const cached = Number((value["prompt_tokens_details"] as Json)["cached_tokens"]);
    return {
      prompt: of("prompt_tokens"),
      cached,
      generated: of("completion_tokens"),
      total: of("total_tokens"),
    };
  }
  if ("input_tokens_details" in value) {
    const cached = Number((value["input_tokens_details"] as Json)["cached_tokens"]);
    return { prompt: of("input_tokens"), cached, generated: of("output_tokens"), total: of("total_tokens") };
  }
  if ("cache_read_input_tokens" in value) {
    const cached = of("cache_read_input_tokens");
    const prompt = of("input_tokens") + cached;
    return { prompt, cached, generated: of("output_tokens"), total: prompt + of("output_tokens") };
  }
  if ("cache_n" in value) {
    const prompt = of("cache_n") + of("prompt_n");
    return { prompt, cached: of("cache_n"), generated: of("predicted_n"), total: prompt + of("predicted_n") };
  }
  return null;
}

function share({ prompt, cached }: Counts): "nothing" | "a part" | "all but one" {
  if (cached === 0) return "nothing";
  return cached === prompt - 1 ? "all but one" : "a part";
}

/** `usage` and `timings` of one answer say the same. */
export function expectOneTruth(answer: unknown): void {
  if (!isObject(answer) || !isObject(answer["usage"]) || !isObject(answer["timings"])) return;
  expect(readCounts(answer["timings"])).toEqual(readCounts(answer["usage"]));
}

/** Compares headers: the same names in the same order and spelling, the same values but for lengths. */
export function expectHeaders(actual: Record<string, string>, recorded: Record<string, string>): void {
  expect(Object.keys(actual)).toEqual(Object.keys(recorded));
  for (const [name, value] of Object.entries(recorded)) {
    if (name === "Content-Length" || name === "Process-Start-Time-Unix") {
      expect(actual[name], name).toMatch(/^\d+$/);
    } else {
      expect(actual[name], name).toBe(value);
    }
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const hasObjects = (value: unknown): boolean => Array.isArray(value) && value.some(isObject);

function kind(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}
