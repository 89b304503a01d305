// Sends a request to a box; no other file does. Returns the agent's own answer or a tagged failure, which states whether
// the agent can have begun. A page of the tunnel or of Access, whatever its status, is never an answer.
import { boxToken } from "../../shared/box-token.ts";
import { AGENT_HEADER, TOKEN_HEADER } from "../../shared/call-headers.ts";
import type { Box } from "../../shared/fleet.ts";
import { thrownName } from "../../shared/errors.ts";
import type { Settings } from "../env.ts";
import { withTimeout, type TimeLimit } from "../http/timeout.ts";
import { hmacHex } from "../auth/keyed-hash.ts";

export type OriginAnswer =
  | { readonly kind: "answer"; readonly response: Response }
  /** The request provably didn't reach the agent: another box may take it. */
  | { readonly kind: "not-begun"; readonly internal: string }
  /** The connection broke, or another program answered: the agent may have begun. */
  | { readonly kind: "broken"; readonly internal: string }
  /** A proxy on the way, or we, stopped waiting; the call may be running on the box. */
  | { readonly kind: "timeout"; readonly internal: string };

export interface OriginRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For the headers only; a stream may take as long as it likes. */
  readonly timeoutMs: number;
  /** Of the call that this request is part of; a timer of its own by default. */
  readonly limit?: TimeLimit;
  /** Aborted when the client disconnects, if the platform reports that. */
  readonly signal?: AbortSignal;
}

/** Statuses of a proxy that stopped waiting (522 and 524 are Cloudflare's). */
const GAVE_UP = new Set([504, 522, 524]);

/**
 * Cloudflare's own errors: the tunnel has no connection (1033), or its hostname doesn't resolve (1016). They are JSON if
 * the request accepts it (https://developers.cloudflare.com/changelog/post/2026-03-11-json-rfc9457-responses-for-1xxx-errors/),
 * and plain text at some of its servers.
 */
const NO_TUNNEL = /\berror[_ ]code"?: ?(?:1033|1016)\b/;

/** How much of a page is read, in bytes; the JSON is under 1 KiB. */
const MAX_PAGE = 4096;

/** One timer covers everything but the body of the agent's answer. */
export async function originFetch(
  box: Box,
  settings: Settings,
  request: OriginRequest,
): Promise<OriginAnswer> {
  const pending = attempt(box, settings, request);
  // A timeout instead of an abort: a signal of our own, joined with the client's, costs a call some 20 µs.
  const { limit = withTimeout } = request;
  const answer = await limit(pending, request.timeoutMs);
  if (answer !== null) return answer;
  void discard(pending);
  return { kind: "timeout", internal: `box ${box.name}: no headers within ${request.timeoutMs / 1000} s` };
}

/** Never rejects. */
async function attempt(box: Box, settings: Settings, request: OriginRequest): Promise<OriginAnswer> {
  try {
    const response = await send(box, settings, request);
    if (response.headers.get(AGENT_HEADER) === box.name) return { kind: "answer", response };
    return await foreignAnswer(box, response);
  } catch (error) {
    return { kind: "broken", internal: `box ${box.name}: ${thrownName(error)}` };
  }
}

async function send(box: Box, { boxOrigins, boxSecret, access }: Settings, request: OriginRequest) {
  const { method, path, body, signal } = request;
  return fetch(`${originOf(boxOrigins[box.name] ?? box.origin)}${path}`, {
    method,
    // No header of the client is passed on, in particular X-Conversation-Id and x-isha-*.
    headers: {
      accept: "application/json",
      ...request.headers,
      [TOKEN_HEADER]: tokens.get(tokenName(box.name, boxSecret)) ?? (await tokenFor(box.name, boxSecret)),
      ...(access === null
        ? {}
        : { "cf-access-client-id": access.clientId, "cf-access-client-secret": access.clientSecret }),
    },
    ...(body === undefined ? {} : { body }),
    // Access answers a bad token with a redirect to its login page.
    redirect: "manual",
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Access refuses, and Cloudflare finds no tunnel, before the agent is reached. Of other pages nothing is known. */
async function foreignAnswer(box: Box, response: Response): Promise<OriginAnswer> {
  const { status } = response;
  const internal = `box ${box.name}: ${status} from something other than its agent`;
  if (status === 530 && NO_TUNNEL.test(await beginningOf(response))) return { kind: "not-begun", internal };
  await response.body?.cancel();
  if (status >= 300 && status < 500) return { kind: "not-begun", internal };
  return { kind: GAVE_UP.has(status) ? "timeout" : "broken", internal };
}

/** The first 4 KiB of a page, of which the rest is cancelled. */
async function beginningOf({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < MAX_PAGE) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value.subarray(0, MAX_PAGE - text.length), { stream: true });
  }
  await reader.cancel();
  return text;
}

/** Cancels an answer that came too late; one that never comes ends with the client's request. */
async function discard(pending: Promise<OriginAnswer>): Promise<void> {
  const late = await pending;
  if (late.kind === "answer") await late.response.body?.cancel().catch(() => undefined);
}

/** The origin of a box's address, parsed once in an isolate. */
function originOf(address: string): string {
  const known = origins.get(address);
  if (known !== undefined) return known;
  const { origin } = new URL(address);
  origins.set(address, origin);
  return origin;
}

const origins = new Map<string, string>();

/** Computed once for each box in an isolate, not for each call. */
async function tokenFor(box: string, secret: string): Promise<string> {
  const token = await boxToken(hmacHex, secret, box, "edge-to-agent");
  tokens.set(tokenName(box, secret), token);
  return token;
}

const tokenName = (box: string, secret: string): string => `${secret}\n${box}`;

const tokens = new Map<string, string>();
