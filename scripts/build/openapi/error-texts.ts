// The meaning of each error code for a client and what to do about it. `shared/errors.ts` has the same for operators.
// A code without a text doesn't compile.
import { ERRORS, type ErrorCode } from "../../../shared/errors.ts";

const TEXTS: Readonly<Record<ErrorCode, string>> = {
  invalid_json: "The body isn't valid JSON. The message has the position of the fault.",
  invalid_request: "A field is wrong. `param` names it, and the message states what it must be.",
  unknown_port: "No server has the port in `model_port`. The message lists the ports.",
  context_length_exceeded: "The prompt doesn't fit the model's context. Shorten it.",
  not_supported_by_model:
    "The model can't do what the request needs. The message names a model that can, if there is one.",
  missing_key: "The request has no key. Send `Authorization: Bearer …` or `x-api-key: …`.",
  invalid_key: "The key is unknown, mistyped or revoked.",
  expired_key: "The key has expired. Ask the operator for a new one.",
  agent_not_allowed: "The key is limited to other agent types.",
  scope_missing: "The key may not use this route: calls need `infer`, `/admin` needs `admin`.",
  https_required: "The request came over plain http. Use https; the key was sent unencrypted, so replace it.",
  not_found: "There is no such route or object. The message names the route that was probably meant.",
  model_not_found: "No model, agent type or file has this name. `GET /v1/models` lists them.",
  method_not_allowed: "The route doesn't take this method. `Allow` lists those it takes.",
  request_timeout: "The body didn't arrive within a minute. No model has seen the request.",
  body_too_large: "The body is larger than the limit. Send less.",
  unsupported_media_type: "Send the body as `Content-Type: application/json`, uncompressed.",
  rate_limited_ip: "Your address has used its requests of this second.",
  rate_limited_key: "Your key has used its requests of this second.",
  too_many_failed_keys: "Your address sends many wrong keys. Find the program that does.",
  concurrency_exceeded: "Your key has as many running and queued calls as it may have.",
  quota_exceeded: "Your key has used its tokens of this month. A retry doesn't help before the next month.",
  internal: "A fault of the service. Report the request id.",
  upstream_failed: "The model's server broke off or failed, and the service's own retries failed too.",
  box_unreachable: "The machine with the model can't be reached, or the connection to it broke.",
  overloaded: "Every slot is taken and the queue is full or too long. The message has the expected wait.",
  model_loading: "The model is loading. The message has the expected time.",
  model_unavailable: "The model isn't up, and the request or the key allows no other.",
  draining: "The machine is about to restart and takes no new calls.",
  no_box: "No machine is connected.",
  limiter_unavailable: "The limits couldn't be checked, so the request wasn't admitted.",
  upstream_timeout: "The machine took the call but didn't answer in time. The call may still run there.",
  deadline_exceeded: "The call took longer than a call may take, queue included.",
};

/** Codes after which the same request may run twice at the model if it is sent again. */
const MAY_HAVE_RUN: readonly ErrorCode[] = [
  "upstream_failed",
  "box_unreachable",
  "upstream_timeout",
  "deadline_exceeded",
];

const RETRIES = {
  never: "no",
  later: "after Retry-After",
  any: "yes",
} as const;

export interface ErrorText {
  readonly code: ErrorCode;
  readonly status: number;
  readonly type: string;
  readonly meaning: string;
  readonly retry: string;
}

/** Every code, by status. */
export const ERROR_TEXTS: readonly ErrorText[] = (Object.keys(ERRORS) as ErrorCode[])
  .map((code) => {
    const { status, type, retry } = ERRORS[code];
    const again = MAY_HAVE_RUN.includes(code) ? "yes, but the call may have run" : RETRIES[retry];
    return { code, status, type, meaning: TEXTS[code], retry: again };
  })
  .toSorted((a, b) => a.status - b.status);
