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
  /** For operators, in `isha why` and in the console: what the code means, and the fix. */
  readonly meaning: string;
}

export const ERRORS = {
  invalid_json: {
    status: 400,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "The body was not valid JSON. The client must fix it.",
  },
  invalid_request: {
    status: 400,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "A field of the request was wrong; the answer named it. The client must fix it.",
  },
  unknown_port: {
    status: 400,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "model_port named a port that no box has. The client must use one that GET /v1/models lists.",
  },
  context_length_exceeded: {
    status: 400,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning:
      "The prompt does not fit the model's context. The client must shorten it, or the fleet file must give the server a larger contextPerSlot.",
  },
  /** Not 501: SDKs would resend it. */
  not_supported_by_model: {
    status: 400,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "The requested model does not support this call. The client must use another model.",
  },
  missing_key: {
    status: 401,
    type: "authentication_error",
    retry: "never",
    fault: "caller",
    meaning: "The request had no API key. Create one for the client: isha keys create.",
  },
  invalid_key: {
    status: 401,
    type: "authentication_error",
    retry: "never",
    fault: "caller",
    meaning:
      "The key, or a box's token, was unknown, mistyped or revoked. Check whether it is listed: isha keys list. For a box, check that it and the edge have the same BOX_SECRET.",
  },
  expired_key: {
    status: 401,
    type: "authentication_error",
    retry: "never",
    fault: "caller",
    meaning: "The key had expired. Set a later expiresAt, or give the client a new key.",
  },
  agent_not_allowed: {
    status: 403,
    type: "permission_error",
    retry: "never",
    fault: "caller",
    meaning: "The key is limited to other agent types. Change its agents if it should be allowed this one.",
  },
  scope_missing: {
    status: 403,
    type: "permission_error",
    retry: "never",
    fault: "caller",
    meaning: "The key lacks the scope of this route: infer for calls, admin for /admin.",
  },
  https_required: {
    status: 403,
    type: "permission_error",
    retry: "never",
    fault: "caller",
    meaning:
      "The request came over plain http. The client must use an https:// URL; replace its key, which was sent unencrypted.",
  },
  not_found: {
    status: 404,
    type: "not_found_error",
    retry: "never",
    fault: "caller",
    meaning: "The route, or what the URL names on it, does not exist. The client must fix its URL.",
  },
  model_not_found: {
    status: 404,
    type: "not_found_error",
    retry: "never",
    fault: "caller",
    meaning:
      "No model, agent type or file has the requested name. The client must use one that GET /v1/models lists.",
  },
  method_not_allowed: {
    status: 405,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "The route exists but does not take this method. The client must fix its call.",
  },
  request_timeout: {
    status: 408,
    type: "timeout_error",
    retry: "any",
    fault: "caller",
    meaning:
      "The body did not arrive within its time limit: a slow uplink, or a client that keeps requests open. No server received the call.",
  },
  body_too_large: {
    status: 413,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "The body was larger than the limit. The client must send less.",
  },
  unsupported_media_type: {
    status: 415,
    type: "invalid_request_error",
    retry: "never",
    fault: "caller",
    meaning: "The body was not sent as application/json, or was compressed. The client must fix its headers.",
  },
  rate_limited_ip: {
    status: 429,
    type: "rate_limit_error",
    retry: "later",
    fault: "caller",
    meaning:
      "The address made more requests per second than the fleet file allows. If it is a backend with many users, set addressExempt on its key.",
  },
  rate_limited_key: {
    status: 429,
    type: "rate_limit_error",
    retry: "later",
    fault: "caller",
    meaning:
      "The key made more requests per second than its limit. Raise its limits.perSecond if they are wanted.",
  },
  too_many_failed_keys: {
    status: 429,
    type: "rate_limit_error",
    retry: "later",
    fault: "caller",
    meaning:
      "The address sent too many wrong keys within a minute: a client with an old key, or an attacker who guesses keys.",
  },
  concurrency_exceeded: {
    status: 429,
    type: "rate_limit_error",
    retry: "later",
    fault: "caller",
    meaning:
      "The key had as many running and queued calls as its limit allows. Raise its limits.concurrent if they are wanted.",
  },
  quota_exceeded: {
    status: 429,
    type: "rate_limit_error",
    retry: "never",
    fault: "caller",
    meaning:
      "The key has used up its tokens for this month. Raise its limits.tokensPerMonth, or wait for the next month (UTC).",
  },
  internal: {
    status: 500,
    type: "server_error",
    retry: "any",
    fault: "ours",
    meaning: "A bug in this program. The log line of this request id has its cause; please report it.",
  },
  upstream_failed: {
    status: 502,
    type: "server_error",
    retry: "any",
    fault: "ours",
    meaning:
      "The llama-server broke the connection or returned something other than an answer, and a retry did not help. Check its PM2 log.",
  },
  box_unreachable: {
    status: 502,
    type: "server_error",
    retry: "any",
    fault: "ours",
    meaning:
      "The box's agent did not answer through the tunnel. Check that cloudflared and isha-agent run on the box.",
  },
  overloaded: {
    status: 503,
    type: "overloaded_error",
    retry: "later",
    fault: "load",
    meaning:
      "All slots were in use and the queue was full or too long. Add slots or boxes, or reduce the calls.",
  },
  model_loading: {
    status: 503,
    type: "overloaded_error",
    retry: "later",
    fault: "ours",
    meaning:
      "The model was still loading and no other was allowed to answer. This ends by itself; if it does not, check the server's PM2 log.",
  },
  model_unavailable: {
    status: 503,
    type: "server_error",
    retry: "later",
    fault: "ours",
    meaning:
      "The model was not up and the call was not allowed to use another. Check its server: pm2 status on the box.",
  },
  draining: {
    status: 503,
    type: "overloaded_error",
    retry: "later",
    fault: "load",
    meaning: "The box was draining, as for a restart, and no other box could take the call.",
  },
  no_box: {
    status: 503,
    type: "server_error",
    retry: "later",
    fault: "ours",
    meaning: "No box could be reached. Check that cloudflared and isha-agent run on the boxes.",
  },
  limiter_unavailable: {
    status: 503,
    type: "server_error",
    retry: "later",
    fault: "ours",
    meaning:
      "The object that counts this key or address did not answer in time. This ends by itself; if it does not, check Cloudflare's status.",
  },
  upstream_timeout: {
    status: 504,
    type: "timeout_error",
    retry: "any",
    fault: "ours",
    meaning: "The box accepted the call but did not answer in time. Check the server's state and its queue.",
  },
  deadline_exceeded: {
    status: 504,
    type: "timeout_error",
    retry: "any",
    fault: "ours",
    meaning:
      "The call's deadline passed while it was queued or running. Add slots, or ask for shorter answers.",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** A code that another release added counts as ours, so that no failure is overlooked. */
export function faultOf(code: string): Fault {
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].fault : "ours";
}

/** What a code means to an operator, and the fix. */
export function meaningOf(code: string): string {
  return Object.hasOwn(ERRORS, code)
    ? ERRORS[code as ErrorCode].meaning
    : "This release doesn't know the code: another release wrote it.";
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
