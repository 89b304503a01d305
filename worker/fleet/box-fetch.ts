// Sends a request to a box; no other file does. Returns the agent's own answer or a tagged failure: an HTML page of the
// tunnel or of Access, whatever its status, is never an answer.
import { boxToken } from "../../shared/box-token.ts";
import { AGENT_HEADER, TOKEN_HEADER } from "../../shared/call-headers.ts";
import type { Box } from "../../shared/fleet.ts";
import { thrownName } from "../../shared/errors.ts";
import type { Settings } from "../env.ts";
import { withTimeout } from "../http/timeout.ts";
import { hmacHex } from "../auth/keyed-hash.ts";

export type OriginAnswer =
  | { readonly kind: "answer"; readonly response: Response }
  /** The agent didn't answer: no connection, or another program's page. */
  | { readonly kind: "unreachable"; readonly internal: string }
  /** A proxy on the way, or we, stopped waiting; the call may be running on the box. */
  | { readonly kind: "timeout"; readonly internal: string };

export interface OriginRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For the headers only; a stream may take as long as it likes. */
  readonly timeoutMs: number;
  /** Aborted when the client disconnects, if the platform reports that. */
  readonly signal?: AbortSignal;
}

/** Statuses of a proxy that stopped waiting (522 and 524 are Cloudflare's). */
const GAVE_UP = new Set([504, 522, 524]);

export async function originFetch(
  box: Box,
  settings: Settings,
  request: OriginRequest,
): Promise<OriginAnswer> {
  const origin = originOf(settings.boxOrigins[box.name] ?? box.origin);
  try {
    const pending = fetch(`${origin}${request.path}`, {
      method: request.method,
      // No header of the client is passed on, in particular X-Conversation-Id and x-isha-*.
      headers: {
        ...request.headers,
        [TOKEN_HEADER]: await tokenFor(box.name, settings.boxSecret),
        ...(settings.access === null
          ? {}
          : {
              "cf-access-client-id": settings.access.clientId,
              "cf-access-client-secret": settings.access.clientSecret,
            }),
      },
      ...(request.body === undefined ? {} : { body: request.body }),
      // Access answers a bad token with a redirect to its login page.
      redirect: "manual",
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    // A timeout instead of an abort: a signal of our own, joined with the client's, costs a call some 20 µs.
    const response = await withTimeout(pending, request.timeoutMs);
    if (response === null) {
      void discard(pending);
      return { kind: "timeout", internal: `box ${box.name}: no headers within ${request.timeoutMs} ms` };
    }
    if (response.headers.get(AGENT_HEADER) === box.name) return { kind: "answer", response };
    await response.body?.cancel();
    const internal = `box ${box.name}: ${response.status} from something other than its agent`;
    return { kind: GAVE_UP.has(response.status) ? "timeout" : "unreachable", internal };
  } catch (error) {
    return { kind: "unreachable", internal: `box ${box.name}: ${thrownName(error)}` };
  }
}

/** Cancels an answer that came too late; one that never comes ends with the client's request. */
async function discard(pending: Promise<Response>): Promise<void> {
  try {
    await (await pending).body?.cancel();
  } catch {
    // It never came, or the connection broke.
  }
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
  const name = `${secret}\n${box}`;
  const known = tokens.get(name);
  if (known !== undefined) return known;
  const token = await boxToken(hmacHex, secret, box, "edge-to-agent");
  tokens.set(name, token);
  return token;
}

const tokens = new Map<string, string>();
