// Explains each error code to an operator and states the fix: the one text of `isha why` and of the console. The Worker
// doesn't have it. A code without an explanation doesn't compile.
import { ERRORS, type ErrorCode } from "./errors.ts";

const MEANINGS: Readonly<Record<ErrorCode, string>> = {
  invalid_json: "The body was not valid JSON. The client must fix it.",
  invalid_request: "A field of the request was wrong; the answer named it. The client must fix it.",
  unknown_port: "model_port named a port that no box has. The client must use one that GET /v1/models lists.",
  context_length_exceeded:
    "The prompt does not fit the model's context. The client must shorten it, or the fleet file must give the server a larger contextPerSlot.",
  not_supported_by_model:
    "The requested model does not support this call. The client must use another model.",
  missing_key: "The request had no API key. Create one for the client: isha keys create.",
  invalid_key:
    "The key, or a box's token, was unknown, mistyped or revoked. Check whether it is listed: isha keys list. For a box, check that it and the edge have the same BOX_SECRET.",
  expired_key: "The key had expired. Set a later expiresAt, or give the client a new key.",
  agent_not_allowed:
    "The key is limited to other agent types. Change its agents if it should be allowed this one.",
  scope_missing: "The key lacks the scope of this route: infer for calls, admin for /admin.",
  https_required:
    "The request came over plain http. The client must use an https:// URL; replace its key, which was sent unencrypted.",
  not_found: "The route, or what the URL names on it, does not exist. The client must fix its URL.",
  model_not_found:
    "No model, agent type or file has the requested name. The client must use one that GET /v1/models lists.",
  method_not_allowed: "The route exists but does not take this method. The client must fix its call.",
  request_timeout:
    "The body did not arrive within its time limit: a slow uplink, or a client that keeps requests open. No server received the call.",
  body_too_large: "The body was larger than the limit. The client must send less.",
  unsupported_media_type:
    "The body was not sent as application/json, or was compressed. The client must fix its headers.",
  rate_limited_ip:
    "The address made more requests per second than the fleet file allows. If it is a backend with many users, set addressExempt on its key.",
  rate_limited_key:
    "The key made more requests per second than its limit. Raise its limits.perSecond if they are wanted.",
  too_many_failed_keys:
    "The address sent too many wrong keys within a minute: a client with an old key, or an attacker who guesses keys.",
  concurrency_exceeded:
    "The key had as many running and queued calls as its limit allows. Raise its limits.concurrent if they are wanted.",
  quota_exceeded:
    "The key has used up its tokens for this month. Raise its limits.tokensPerMonth, or wait for the next month (UTC).",
  internal: "A bug in this program. The log line of this request id has its cause; please report it.",
  upstream_failed:
    "The llama-server broke the connection or returned something other than an answer, and a retry did not help. Check its PM2 log.",
  box_unreachable:
    "The box's agent did not answer through the tunnel. Check that cloudflared and isha-agent run on the box.",
  overloaded:
    "All slots were in use and the queue was full or too long. Add slots or boxes, or reduce the calls.",
  model_loading:
    "The model was still loading and no other was allowed to answer. This ends by itself; if it does not, check the server's PM2 log.",
  model_unavailable:
    "The model was not up and the call was not allowed to use another. Check its server: pm2 status on the box.",
  draining: "The box was draining, as for a restart, and no other box could take the call.",
  no_box: "No box could be reached. Check that cloudflared and isha-agent run on the boxes.",
  limiter_unavailable:
    "The object that counts this key or address did not answer in time. This ends by itself; if it does not, check Cloudflare's status.",
  upstream_timeout:
    "The box accepted the call but did not answer in time. Check the server's state and its queue.",
  deadline_exceeded:
    "The call's deadline passed while it was queued or running. Add slots, or ask for shorter answers.",
};

/** A code of another release has no explanation. */
export function meaningOf(code: string): string {
  return Object.hasOwn(ERRORS, code)
    ? MEANINGS[code as ErrorCode]
    : "This release doesn't know the code: another release wrote it.";
}
