// The routes of model calls, one row each: path, required capability, use of slots, format of errors. The path is the
// same at the edge, the agent and llama-server. What only one program needs (body schemas, metering) is in that program's
// own table with the same keys.
import type { ErrorShape } from "./errors.ts";
import type { Capability } from "./fleet.ts";

interface DialectRow {
  readonly path: string;
  /** What a server must be able to do; a request's fields can require more. */
  readonly capability: Capability;
  /**
   * How a call takes slots at llama-server: `pinned` to the slot that the agent chose (`id_slot`), `unpinned` (its
   * server ignores `id_slot`: transcript `messages-drops-id-slot`), `short` (a slot for milliseconds, not pinned), or
   * `none`.
   */
  readonly slots: "pinned" | "unpinned" | "short" | "none";
  readonly errors: ErrorShape;
}

export const DIALECTS = {
  chat: { path: "/v1/chat/completions", capability: "chat", slots: "pinned", errors: "openai" },
  completions: { path: "/v1/completions", capability: "chat", slots: "pinned", errors: "openai" },
  responses: { path: "/v1/responses", capability: "chat", slots: "pinned", errors: "responses" },
  messages: { path: "/v1/messages", capability: "chat", slots: "unpinned", errors: "anthropic" },
  count_tokens: { path: "/v1/messages/count_tokens", capability: "chat", slots: "none", errors: "anthropic" },
  embeddings: { path: "/v1/embeddings", capability: "embeddings", slots: "short", errors: "openai" },
  rerank: { path: "/v1/rerank", capability: "rerank", slots: "short", errors: "openai" },
  tokenize: { path: "/tokenize", capability: "chat", slots: "none", errors: "openai" },
  detokenize: { path: "/detokenize", capability: "chat", slots: "none", errors: "openai" },
  apply_template: { path: "/apply-template", capability: "chat", slots: "none", errors: "openai" },
} as const satisfies Record<string, DialectRow>;

export type Dialect = keyof typeof DIALECTS;

export const DIALECT_NAMES = Object.keys(DIALECTS) as readonly Dialect[];

const BY_PATH: ReadonlyMap<string, Dialect> = new Map(
  DIALECT_NAMES.map((dialect) => [DIALECTS[dialect].path, dialect]),
);

/** The dialect of a request's path without its query; undefined if the path is no call route. */
export function dialectOf(path: string): Dialect | undefined {
  return BY_PATH.get(path);
}
