// llama-server's error bodies. Two orders of keys exist in the recordings: its HTTP layer writes `message`
// first (transcripts "chat-loading", "error-key", "error-route"), its handlers write `code` first.
import { toJson } from "./json.ts";

type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "not_found_error"
  | "server_error"
  | "not_supported_error"
  | "unavailable_error"
  | "exceed_context_size_error";

const STATUS: Record<ErrorType, number> = {
  invalid_request_error: 400,
  authentication_error: 401,
  not_found_error: 404,
  server_error: 500,
  not_supported_error: 501,
  unavailable_error: 503,
  exceed_context_size_error: 400,
};

/** An answer that is an error; thrown by whatever reads a request, rendered in one place. */
export class ApiError extends Error {
  readonly type: ErrorType;
  readonly extra: Record<string, unknown>;

  constructor(type: ErrorType, message: string, extra: Record<string, unknown> = {}) {
    super(message);
    this.type = type;
    this.extra = extra;
  }

  get status(): number {
    return STATUS[this.type];
  }

  /** The body as handlers write it. */
  body(): string {
    const { status: code, message, type, extra } = this;
    return toJson({ error: { code, message, type, ...extra } });
  }

  /** The body as the HTTP layer writes it. */
  edgeBody(): string {
    const { status: code, message, type } = this;
    return toJson({ error: { message, type, code } });
  }
}

export const invalid = (message: string): ApiError => new ApiError("invalid_request_error", message);
export const serverError = (message: string): ApiError => new ApiError("server_error", message);

/** Transcript "error-context". */
export const contextExceeded = (promptTokens: number, context: number): ApiError =>
  new ApiError(
    "exceed_context_size_error",
    `request (${promptTokens} tokens) exceeds the available context size (${context} tokens), try increasing it`,
    { n_prompt_tokens: promptTokens, n_ctx: context },
  );

/** Transcripts "embeddings-off" and "rerank-off". */
export const notSupported = (what: string, flag: string): ApiError =>
  new ApiError("not_supported_error", `This server does not support ${what}. Start it with \`${flag}\``);
