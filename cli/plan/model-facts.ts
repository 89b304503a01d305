// Derives the memory facts of a model from its GGUF header: weights, cache per token, longest context. Pure.
import { GgufError, type GgufArray, type GgufFile, type GgufValue } from "./gguf.ts";

export interface ModelFacts {
  readonly architecture: string;
  readonly weightsGib: number;
  readonly parameters: number;
  readonly layers: number;
  /** One token in an f16 cache, all layers. */
  readonly kvKibPerToken: number;
  /** The context that the model was trained for; null if the file doesn't state it. */
  readonly trainedContext: number | null;
  readonly hasChatTemplate: boolean;
}

const BYTES_F16 = 2;

/** @throws GgufError that names the entry which is missing */
export function modelFacts({ metadata, weightBytes, parameters }: GgufFile): ModelFacts {
  const architecture = metadata.get("general.architecture");
  if (typeof architecture !== "string") throw new GgufError("its metadata has no general.architecture");
  const entry = (name: string): GgufValue | undefined => metadata.get(`${architecture}.${name}`);
  const number = (name: string): number | null => numberOf(entry(name));
  const required = (name: string): number => {
    const value = number(name);
    if (value === null) throw new GgufError(`its metadata has no ${architecture}.${name}`);
    return value;
  };
  const layers = required("block_count");
  const heads = perLayer(entry("attention.head_count"), layers);
  if (heads === null) throw new GgufError(`its metadata has no ${architecture}.attention.head_count`);
  // Without its own number, every attention head has a key and a value of its own.
  const kvHeads = perLayer(entry("attention.head_count_kv"), layers) ?? heads;
  const headSize = required("embedding_length") / Math.max(...heads);
  const keyLength = number("attention.key_length") ?? headSize;
  const valueLength = number("attention.value_length") ?? headSize;
  const bytesPerToken = kvHeads.reduce(
    (sum, count) => sum + count * (keyLength + valueLength) * BYTES_F16,
    0,
  );
  return {
    architecture,
    weightsGib: weightBytes / 1024 ** 3,
    parameters,
    layers,
    kvKibPerToken: bytesPerToken / 1024,
    trainedContext: number("context_length"),
    hasChatTemplate: metadata.has("tokenizer.chat_template"),
  };
}

function numberOf(value: GgufValue | undefined): number | null {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number > 0 ? number : null;
}

/** One number for all layers, or an array with one for each. */
function perLayer(value: GgufValue | undefined, layers: number): readonly number[] | null {
  if (isArray(value)) return value.numbers !== null && value.numbers.length === layers ? value.numbers : null;
  const number = numberOf(value);
  return number === null ? null : Array.from({ length: layers }, () => number);
}

const isArray = (value: GgufValue | undefined): value is GgufArray => typeof value === "object";
