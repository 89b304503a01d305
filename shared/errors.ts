// The one table of error codes and the one format of error answers. A refusal is a value with a public message (what is
// wrong, what to do) and a separate internal text for the log.

/** Whether a retry can help: after the stated time, never, or at any time. */
type Retry = "later" | "never" | "any";

/**
 * Who has to act on a refusal: `caller` (the request or its limits), `ours` (this program, a box or a server), or
 * `load` (a full or draining box: the fleet works, but had no room).
 */
type Fault = "caller" | "ours" | "load";

interface ErrorRow {
  readonly status: number;
  /** OpenAI's name for the class of error; SDKs use the status, people read this. */
  readonly type: string;
  readonly retry: Retry;
  readonly fault: Fault;
}

export const ERRORS = {
  invalid_json: { status: 400, type: "invalid_request_error", retry: "never", fault: "caller" },
  invalid_request: { status: 400, type: "invalid_request_error", retry: "never", fault: "caller" },
  unknown_port: { status: 400, type: "invalid_request_error", retry: "never", fault: "caller" },
  context_length_exceeded: { status: 400, type: "invalid_request_error", retry: "never", fault: "caller" },
  /** Not 501: SDKs would resend it. */
  not_supported_by_model: { status: 400, type: "invalid_request_error", retry: "never", fault: "caller" },
  missing_key: { status: 401, type: "authentication_error", retry: "never", fault: "caller" },
  invalid_key: { status: 401, type: "authentication_error", retry: "never", fault: "caller" },
  expired_key: { status: 401, type: "authentication_error", retry: "never", fault: "caller" },
  agent_not_allowed: { status: 403, type: "permission_error", retry: "never", fault: "caller" },
  scope_missing: { status: 403, type: "permission_error", retry: "never", fault: "caller" },
  https_required: { status: 403, type: "permission_error", retry: "never", fault: "caller" },
  not_found: { status: 404, type: "not_found_error", retry: "never", fault: "caller" },
  model_not_found: { status: 404, type: "not_found_error", retry: "never", fault: "caller" },
  method_not_allowed: { status: 405, type: "invalid_request_error", retry: "never", fault: "caller" },
  request_timeout: { status: 408, type: "timeout_error", retry: "any", fault: "caller" },
  body_too_large: { status: 413, type: "invalid_request_error", retry: "never", fault: "caller" },
  unsupported_media_type: { status: 415, type: "invalid_request_error", retry: "never", fault: "caller" },
  rate_limited_ip: { status: 429, type: "rate_limit_error", retry: "later", fault: "caller" },
  rate_limited_key: { status: 429, type: "rate_limit_error", retry: "later", fault: "caller" },
  too_many_failed_keys: { status: 429, type: "rate_limit_error", retry: "later", fault: "caller" },
  concurrency_exceeded: { status: 429, type: "rate_limit_error", retry: "later", fault: "caller" },
  quota_exceeded: { status: 429, type: "rate_limit_error", retry: "never", fault: "caller" },
  internal: { status: 500, type: "server_error", retry: "any", fault: "ours" },
  upstream_failed: { status: 502, type: "server_error", retry: "any", fault: "ours" },
  box_unreachable: { status: 502, type: "server_error", retry: "any", fault: "ours" },
  overloaded: { status: 503, type: "overloaded_error", retry: "later", fault: "load" },
  model_loading: { status: 503, type: "overloaded_error", retry: "later", fault: "ours" },
  model_unavailable: { status: 503, type: "server_error", retry: "later", fault: "ours" },
  draining: { status: 503, type: "overloaded_error", retry: "later", fault: "load" },
  no_box: { status: 503, type: "server_error", retry: "later", fault: "ours" },
  limiter_unavailable: { status: 503, type: "server_error", retry: "later", fault: "ours" },
  upstream_timeout: { status: 504, type: "timeout_error", retry: "any", fault: "ours" },
  deadline_exceeded: { status: 504, type: "timeout_error", retry: "any", fault: "ours" },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** A code that another release added counts as ours, so that no failure is overlooked. */
export function faultOf(code: string): Fault {
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].fault : "ours";
}

/** An expected failure as a value: decisions return it, one renderer per program formats it. */
export interface Refusal {
  readonly code: ErrorCode;
  /** For the client: what is wrong and what to do. Our own text, never an upstream's. */
  readonly message: string;
  /** Path of the wrong field: `messages[0].content`. */
  readonly param?: string | undefined;
  /** Set if a retry can't help although the code's row allows one. */
  readonly retry?: "never" | undefined;
  /** When a retry makes sense, counted from now. */
  readonly retryAfterMs?: number | undefined;
  /** For the log only: ids, ports, counts; never a part of a prompt. */
  readonly internal?: string | undefined;
  /** For operators: the server that the call was for. */
  readonly server?: { readonly port: number; readonly model: string } | undefined;
  /** For operators: the fleet's agent type under which the call's route was decided. */
  readonly agentType?: string | undefined;
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

/** Carries a refusal out of code that can't return it. */
export class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.code);
    this.name = "RefusedError";
    this.refusal = refusal;
  }
}

/** The format of errors that a dialect's SDKs turn into their typed exceptions; `responses` differs in streams only. */
export type ErrorShape = "openai" | "responses" | "anthropic";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: ErrorCode;
    readonly param: string | null;
    readonly request_id: string;
  };
}

/** The body of an error answer (design section 3): OpenAI's format with our request id. */
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

export interface AnthropicErrorBody {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string };
  readonly request_id: string;
}

/** The body of an error answer of `/v1/messages*`: Anthropic's format. */
export function anthropicErrorBody(refusal: Refusal, requestId: string): AnthropicErrorBody {
  const { type } = ERRORS[refusal.code];
  const renamed =
    refusal.code === "body_too_large" ? "request_too_large" : type === "server_error" ? "api_error" : type;
  return { type: "error", error: { type: renamed, message: refusal.message }, request_id: requestId };
}

/** The body of an error answer, as JSON. */
export function errorText(refusal: Refusal, requestId: string, shape: ErrorShape): string {
  return JSON.stringify(
    shape === "anthropic" ? anthropicErrorBody(refusal, requestId) : errorBody(refusal, requestId),
  );
}

/**
 * The last event of a stream that failed after its first byte. OpenAI's SDKs throw on an event with `error`, Anthropic's
 * on one named `error`. No `[DONE]` follows: a client that waits only for `[DONE]` would take the answer for complete.
 */
export function errorEvent(refusal: Refusal, requestId: string, shape: ErrorShape): string {
  if (shape === "anthropic") return `event: error\ndata: ${errorText(refusal, requestId, shape)}\n\n`;
  const body = errorBody(refusal, requestId);
  if (shape === "openai") return `data: ${JSON.stringify(body)}\n\n`;
  // The Responses API's typed event, with the member that makes OpenAI's SDKs throw.
  const { code, message, param } = body.error;
  return `event: error\ndata: ${JSON.stringify({ type: "error", code, message, param, ...body })}\n\n`;
}

/** The class of a thrown value, for logs: its text can contain parts of a request. */
export function thrownName(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : "thrown";
}
