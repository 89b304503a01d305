// `/v1/embeddings` and `/v1/rerank`: numbers that repeat for the same text and mean nothing (transcripts
// "embeddings-on", "embeddings-list", "rerank-on").
import { ApiError, invalid, notSupported } from "./errors.ts";
import { float, toJson } from "./json.ts";
import type { Body } from "./params.ts";
import type { Sim } from "./sim.ts";
import { hash, promptPieces } from "./tokens.ts";

/** Components of an embedding: the recorded model's. */
const DIMENSIONS = 64;

export function embeddings(sim: Sim, body: Body): string {
  if (!sim.settings.embeddings) throw notSupported("embeddings", "--embeddings");
  const input = body["input"] ?? body["content"];
  if (input === undefined) throw invalid('"input" or "content" must be provided');
  const texts = (Array.isArray(input) ? input : [input]).map(String);
  const base64 = body["encoding_format"] === "base64";
  const data = texts.map((text, index) => {
    const vector = embed(text);
    const embedding = base64
      ? Buffer.from(new Float32Array(vector).buffer).toString("base64")
      : vector.map(float);
    const encoding = base64 ? { encoding_format: "base64" } : {};
    return { embedding, index, object: "embedding", ...encoding };
  });
  const tokens = texts.reduce((sum, text) => sum + promptPieces(text).length, 0);
  return toJson({
    model: named(sim, body),
    object: "list",
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    data,
  });
}

export function rerank(sim: Sim, body: Body): string {
  if (!sim.settings.reranking) throw notSupported("reranking", "--reranking");
  const { query, documents } = body;
  if (typeof query !== "string") throw invalid('"query" must be provided');
  if (!Array.isArray(documents) || documents.length === 0) {
    throw new ApiError("invalid_request_error", '"documents" must be a non-empty string array');
  }
  const texts = documents.map(String);
  const results = texts.map((text, index) => ({
    index,
    relevance_score: float((hash(`${query}\n${text}`) % 40_000) / 10_000 - 2),
  }));
  const tokens = texts.reduce((sum, text) => sum + promptPieces(query + text).length + 2, 0);
  return toJson({
    model: named(sim, body),
    object: "list",
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    results: results.sort((a, b) => b.relevance_score.value - a.relevance_score.value),
  });
}

/** Here, and only here, the answer carries the model that the request named (transcript "embeddings-on"). */
const named = (sim: Sim, body: Body): string =>
  typeof body["model"] === "string" ? body["model"] : sim.settings.alias;

/** A unit vector. */
function embed(text: string): number[] {
  const raw = Array.from({ length: DIMENSIONS }, (_, at) => (hash(`${at}\n${text}`) % 20_001) / 10_000 - 1);
  const norm = Math.hypot(...raw);
  return raw.map((component) => Math.fround(component / norm));
}
