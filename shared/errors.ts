// The one table of error codes and the one shape they are shown in. A refusal is a value; whoever makes it
// writes the public sentence (what was wrong, what to do) and, apart from it, what only a log may see.

/** How a client should take a refusal: ask again later, or not at all, because no retry can help. */
type Retry = "later" | "never" | "any";

interface ErrorRow {
  readonly status: number;
  /** OpenAI's name for the class of error; its SDKs map the status, people read this. */
  readonly type: string;
  readonly retry: Retry;
}

export const ERRORS = {
  invalid_json: { status: 400, type: "invalid_request_error", retry: "never" },
  invalid_request: { status: 400, type: "invalid_request_error", retry: "never" },
  unknown_port: { status: 400, type: "invalid_request_error", retry: "never" },
  context_length_exceeded: { status: 400, type: "invalid_request_error", retry: "never" },
  missing_key: { status: 401, type: "authentication_error", retry: "never" },
  invalid_key: { status: 401, type: "authentication_error", retry: "never" },
  expired_key: { status: 401, type: "authentication_error", retry: "never" },
  agent_not_allowed: { status: 403, type: "permission_error", retry: "never" },
  scope_missing: { status: 403, type: "permission_error", retry: "never" },
  not_found: { status: 404, type: "not_found_error", retry: "never" },
  model_not_found: { status: 404, type: "not_found_error", retry: "never" },
  method_not_allowed: { status: 405, type: "invalid_request_error", retry: "never" },
  request_timeout: { status: 408, type: "timeout_error", retry: "any" },
  body_too_large: { status: 413, type: "invalid_request_error", retry: "never" },
  unsupported_media_type: { status: 415, type: "invalid_request_error", retry: "never" },
  rate_limited_ip: { status: 429, type: "rate_limit_error", retry: "later" },
  rate_limited_key: { status: 429, type: "rate_limit_error", retry: "later" },
  too_many_failed_keys: { status: 429, type: "rate_limit_error", retry: "later" },
  concurrency_exceeded: { status: 429, type: "rate_limit_error", retry: "later" },
  quota_exceeded: { status: 429, type: "rate_limit_error", retry: "never" },
  internal: { status: 500, type: "server_error", retry: "any" },
  not_supported_by_model: { status: 501, type: "invalid_request_error", retry: "never" },
  upstream_failed: { status: 502, type: "server_error", retry: "any" },
  box_unreachable: { status: 502, type: "server_error", retry: "any" },
  overloaded: { status: 503, type: "overloaded_error", retry: "later" },
  model_loading: { status: 503, type: "overloaded_error", retry: "later" },
  model_unavailable: { status: 503, type: "server_error", retry: "later" },
  draining: { status: 503, type: "overloaded_error", retry: "later" },
  no_box: { status: 503, type: "server_error", retry: "later" },
  limiter_unavailable: { status: 503, type: "server_error", retry: "later" },
  upstream_timeout: { status: 504, type: "timeout_error", retry: "any" },
  deadline_exceeded: { status: 504, type: "timeout_error", retry: "any" },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** An expected failure, as a value: what decides returns it, one renderer per program shows it. */
export interface Refusal {
  readonly code: ErrorCode;
  /** For the client: what was wrong and what to do. Ours, never an upstream's text. */
  readonly message: string;
  /** The field that was wrong, as a path: `messages[0].content`. */
  readonly param?: string | undefined;
  /** When asking again makes sense, milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
  /** For the log alone. Ids, ports, counts; never a word of a prompt. */
  readonly internal?: string | undefined;
}

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refusal: Refusal };

export const ok = <T>(value: T): Result<T> => ({ ok: true, value });

export function refuse(
  code: ErrorCode,
  message: string,
  more: Omit<Refusal, "code" | "message"> = {},
): {
  readonly ok: false;
  readonly refusal: Refusal;
} {
  return { ok: false, refusal: { code, message, ...more } };
}

/** A refusal on its way out of a place that can't return it. */
export class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.code);
    this.name = "RefusedError";
    this.refusal = refusal;
  }
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: ErrorCode;
    readonly param: string | null;
    readonly request_id: string;
  };
}

/** The body every error answer has (design section 3), in OpenAI's shape with our request id. */
export function errorBody(refusal: Refusal, requestId: string): ErrorBody {
  return {
    error: {
      message: refusal.message,
      type: ERRORS[refusal.code].type,
      code: refusal.code,
      param: refusal.param ?? null,
      request_id: requestId,
    },
  };
}

/**
 * The last event of a stream that failed after its first byte. OpenAI's SDKs throw on an event that has
 * `error`; no `[DONE]` follows, since a client that waits for only that would take the answer for whole.
 */
export function errorEvent(refusal: Refusal, requestId: string): string {
  return `data: ${JSON.stringify(errorBody(refusal, requestId))}\n\n`;
}

/**
 * Headers that tell a client whether to ask again. `retry-after-ms` and `x-should-retry` are what OpenAI's
 * and Anthropic's SDKs read before they fall back to their own rule (retry 408, 409, 429 and ≥ 500).
 */
export function retryHeaders(
  refusal: Refusal,
  bounds: { readonly minS: number; readonly maxS: number },
): Record<string, string> {
  const { retry } = ERRORS[refusal.code];
  if (retry === "never") return { "x-should-retry": "false" };
  if (refusal.retryAfterMs === undefined) return {};
  const maxMs = bounds.maxS * 1000;
  const ms = Math.min(Math.max(Math.ceil(refusal.retryAfterMs), 1), maxMs);
  const seconds = Math.max(Math.ceil(ms / 1000), bounds.minS);
  return { "retry-after": String(seconds), "retry-after-ms": String(ms) };
}
