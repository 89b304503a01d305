// What each error code means to an operator, and what to do about it: `isha why` shows it beside a request's fate.
// A code without a sentence doesn't compile.
import { ERRORS, type ErrorCode } from "../../shared/errors.ts";

const MEANINGS: Readonly<Record<ErrorCode, string>> = {
  invalid_json: "The body was not valid JSON. The client must mend it.",
  invalid_request: "A field of the request was wrong; the client was told which. The client must mend it.",
  unknown_port:
    "model_port named a port that no box has. The client must name one that GET /v1/models lists.",
  context_length_exceeded:
    "The prompt does not fit the model's context. The client must shorten it, or the fleet file give the server a larger contextPerSlot.",
  missing_key: "No API key came with the request. Hand the client one: isha keys create.",
  invalid_key:
    "The key, or a box's token, was unknown, mistyped or revoked. Look whether it is listed: isha keys list; for a box, whether it and the edge have the same BOX_SECRET.",
  expired_key: "The key's time was over. Give it a later expiresAt, or the client a new key.",
  agent_not_allowed: "The key is limited to other agent types. Change them if it should have this one.",
  scope_missing: "The key lacks the scope of this route: infer for calls, admin for /admin.",
  not_found: "There is no such route, or no such thing at it. The client must mend its URL.",
  model_not_found:
    "No model, agent type or file has the name that was asked for. The client must take one that GET /v1/models lists.",
  method_not_allowed: "The route exists and takes other methods. The client must mend its call.",
  request_timeout:
    "The body was still arriving when its time was over. A slow uplink, or somebody who holds requests open; nothing was begun.",
  body_too_large: "The body was larger than a request may be. The client must send less.",
  unsupported_media_type:
    "The body was not sent as application/json, or came compressed. The client must mend its headers.",
  rate_limited_ip:
    "The address made more requests a second than the fleet file allows one. A backend that speaks for many users: give its key addressExempt.",
  rate_limited_key:
    "The key made more requests a second than it may. Raise its limits.perSecond if that is wanted.",
  too_many_failed_keys:
    "Too many wrong keys came from this address within a minute. A client with an old key, or somebody who guesses.",
  concurrency_exceeded:
    "The key had as many calls running and waiting as it may. Raise its limits.concurrent if that is wanted.",
  quota_exceeded:
    "The key used up its tokens of this month. Raise its limits.tokensPerMonth, or wait for the next month (UTC).",
  internal: "A fault of this program. The log line of this request id has its cause; please report it.",
  not_supported_by_model: "The model that was asked for cannot do this. The client must ask another one.",
  upstream_failed:
    "The llama-server broke in the middle or answered with something else than an answer, and trying again did not help. Look at its PM2 log.",
  box_unreachable:
    "No answer of the box's agent came through the tunnel. Look whether cloudflared and isha-agent run on the box.",
  overloaded:
    "All slots were taken and the queue was full or too long. More slots, more boxes or fewer calls.",
  model_loading:
    "The model was still loading and no other might serve. It passes; if it does not, look at its PM2 log.",
  model_unavailable:
    "The model was not up and the call might not move to another. Look at its server: pm2 status on the box.",
  draining: "The box was going, as for a restart, and no other one could take the call.",
  no_box: "No box could be reached. Look whether cloudflared and isha-agent run on the boxes.",
  limiter_unavailable:
    "The object that counts this key or address did not answer within its time. It passes; if it does not, look at Cloudflare's status.",
  upstream_timeout:
    "The box took the call and no answer came in its time. Look at the server's state and its queue.",
  deadline_exceeded: "The call's time ran out while it waited or ran. More slots, or a shorter answer.",
};

/** A code of another release has no sentence. */
export function meaningOf(code: string): string {
  return Object.hasOwn(ERRORS, code)
    ? MEANINGS[code as ErrorCode]
    : "A code this release doesn't know: another one wrote it.";
}
