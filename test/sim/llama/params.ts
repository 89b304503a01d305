// A call's sampling settings: which fields of a body count, which types and ranges they must have, and how
// `/slots` and `/props` show them (transcripts "props", "slots-busy", "error-max-tokens-type", "n-capped").
import { invalid } from "./errors.ts";
import { float32, toJson } from "./json.ts";

export type Body = Record<string, unknown>;

type Spec = [name: string, kind: "float" | "int" | "bool", fallback: number | boolean];

const INT_MAX = 2_147_483_647;

const SAMPLING: readonly Spec[] = [
  ["seed", "int", 4_294_967_295],
  ["temperature", "float", 0.8],
  ["dynatemp_range", "float", 0],
  ["dynatemp_exponent", "float", 1],
  ["top_k", "int", 40],
  ["top_p", "float", 0.95],
  ["min_p", "float", 0.05],
  ["top_n_sigma", "float", -1],
  ["xtc_probability", "float", 0],
  ["xtc_threshold", "float", 0.1],
  ["typical_p", "float", 1],
  ["repeat_last_n", "int", 64],
  ["repeat_penalty", "float", 1],
  ["presence_penalty", "float", 0],
  ["frequency_penalty", "float", 0],
  ["dry_multiplier", "float", 0],
  ["dry_base", "float", 1.75],
  ["dry_allowed_length", "int", 2],
  ["dry_penalty_last_n", "int", 64],
  ["mirostat", "int", 0],
  ["mirostat_tau", "float", 5],
  ["mirostat_eta", "float", 0.1],
  ["adaptive_target", "float", -1],
  ["adaptive_decay", "float", 0.9],
];

const GENERATION: readonly Spec[] = [
  ["n_keep", "int", 0],
  ["n_discard", "int", 0],
  ["ignore_eos", "bool", false],
  ["stream", "bool", false],
  ["n_probs", "int", 0],
  ["min_keep", "int", 0],
];

const REPORTING: readonly Spec[] = [
  ["timings_per_token", "bool", false],
  ["post_sampling_probs", "bool", false],
  ["backend_sampling", "bool", false],
];

const SAMPLERS = [
  "penalties",
  "dry",
  "top_n_sigma",
  "top_k",
  "typ_p",
  "top_p",
  "min_p",
  "xtc",
  "temperature",
];

/** The settings of one call, checked. */
export interface Params {
  values: Record<string, number | boolean>;
  /** Tokens to generate at most; -1 is no end but the context's. */
  predict: number;
  choices: number;
  stop: string[];
  stream: boolean;
  includeUsage: boolean;
  timingsPerToken: boolean;
  /** Alternatives per token to report; 0 is no logprobs at all. */
  logprobs: number;
  ignoreEos: boolean;
  /** Null if the body doesn't set it: the server's own default. */
  cachePrompt: boolean | null;
  /** The slot asked for; null lets the server choose. */
  slot: number | null;
  verbose: boolean;
  seed: number;
  chat: boolean;
  generationPrompt: string;
}

/** Reads a body's settings, in the dialect of chat and completions. `slots` bounds `n`. */
export function readParams(body: Body, slots: number, chat: { generationPrompt: string } | null): Params {
  const values: Params["values"] = {};
  for (const [name, kind, fallback] of [...SAMPLING, ...GENERATION, ...REPORTING]) {
    const given = body[name];
    values[name] = given == null ? fallback : typed(name, kind, given);
  }
  const options = body["stream_options"];
  const slot = number(body, ["id_slot"], -1, -INT_MAX);
  return {
    values,
    predict: number(body, ["n_predict", "max_completion_tokens", "max_tokens"], -1, -1),
    choices: number(body, ["n_cmpl", "n"], 1, 1, slots),
    stop: stops(body["stop"]),
    stream: values["stream"] === true,
    includeUsage: isBody(options) && bool("include_usage", options["include_usage"] ?? false),
    timingsPerToken: values["timings_per_token"] === true,
    logprobs: logprobs(body, chat !== null),
    ignoreEos: values["ignore_eos"] === true,
    cachePrompt: body["cache_prompt"] == null ? null : bool("cache_prompt", body["cache_prompt"]),
    slot: slot < 0 ? null : slot,
    verbose: bool("verbose", body["verbose"] ?? false),
    seed: Number(values["seed"]),
    chat: chat !== null,
    generationPrompt: chat?.generationPrompt ?? "",
  };
}

/** The settings as `/slots` shows them; null shows a server's defaults, as `/props` does. */
export function paramsView(params: Params | null): Record<string, unknown> {
  const show = (specs: readonly Spec[]): [string, unknown][] =>
    specs.map(([name, kind, fallback]) => {
      const value = params?.values[name] ?? fallback;
      return [name, kind === "float" ? float32(Number(value)) : value];
    });
  const predict = params?.predict ?? -1;
  return {
    ...Object.fromEntries(show(SAMPLING)),
    max_tokens: predict,
    n_predict: predict,
    ...Object.fromEntries(show(GENERATION)),
    chat_format: params?.chat === true ? "peg-native" : "Content-only",
    reasoning_format: params?.chat === true ? "deepseek" : "none",
    reasoning_in_content: false,
    generation_prompt: params?.generationPrompt ?? "",
    samplers: SAMPLERS,
    "speculative.types": "none",
    ...Object.fromEntries(show(REPORTING)),
    lora: [],
  };
}

export const isBody = (value: unknown): value is Body =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function typed(name: string, kind: Spec[1], value: unknown): number | boolean {
  if (kind === "bool") return bool(name, value);
  const given = numeric(name, value);
  return kind === "int" ? Math.trunc(given) : given;
}

function number(body: Body, names: string[], fallback: number, min: number, max = INT_MAX): number {
  const name = names.find((candidate) => body[candidate] != null);
  if (name === undefined) return fallback;
  const value = Math.trunc(numeric(name, body[name]));
  if (value < min || value > max) {
    throw invalid(`Field '${name}': Value must be between ${min} <= value <= ${max}, but got ${value}`);
  }
  return value;
}

function numeric(name: string, value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  throw invalid(
    `Field '${name}': [json.exception.type_error.302] type must be number, but is ${kindOf(value)}`,
  );
}

function bool(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(
    `Field '${name}': [json.exception.type_error.302] type must be boolean, but is ${kindOf(value)}`,
  );
}

/** A JSON value's type in nlohmann's words. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function stops(value: unknown): string[] {
  const list = Array.isArray(value) ? value : [value];
  return list.filter((stop): stop is string => typeof stop === "string" && stop !== "");
}

function logprobs(body: Body, chat: boolean): number {
  if (!chat) return typeof body["logprobs"] === "number" ? body["logprobs"] : 0;
  if (body["logprobs"] === true) return typeof body["top_logprobs"] === "number" ? body["top_logprobs"] : 20;
  if (body["top_logprobs"] != null) throw invalid("top_logprobs requires logprobs to be set to true");
  return 0;
}

/** A schema or template word, printed as the error text of a real server prints it. */
export const quoted = (value: unknown): string => (typeof value === "string" ? value : toJson(value));
