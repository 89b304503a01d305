// The one way to a box. What comes back is either the agent's own answer or a tagged failure: a tunnel's or
// Access's HTML page, whatever its status, is never taken for an answer.
import { boxToken } from "../../shared/box-token.ts";
import { AGENT_HEADER, TOKEN_HEADER } from "../../shared/call-headers.ts";
import type { Box } from "../../shared/fleet.ts";
import { thrownName } from "../../shared/errors.ts";
import type { Settings } from "../env.ts";
import { withTimeout } from "../http/timeout.ts";
import { hmacHex } from "../auth/keyed-hash.ts";

export type OriginAnswer =
  | { readonly kind: "answer"; readonly response: Response }
  /** Nothing of ours answered: no connection, or somebody else's page. */
  | { readonly kind: "unreachable"; readonly internal: string }
  /** The way to the box gave up waiting; the call may be running there. */
  | { readonly kind: "timeout"; readonly internal: string };

export interface OriginRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For the wait for headers; a stream may go on for as long as it flows. */
  readonly timeoutMs: number;
  /** The client's own connection, where the platform tells of it. */
  readonly signal?: AbortSignal;
}

/** Statuses with which a proxy on the way says that it stopped waiting (524 is Cloudflare's). */
const GAVE_UP = new Set([504, 522, 524]);

export async function originFetch(
  box: Box,
  settings: Settings,
  request: OriginRequest,
): Promise<OriginAnswer> {
  const origin = originOf(settings.boxOrigins[box.name] ?? box.origin);
  try {
    const asked = fetch(`${origin}${request.path}`, {
      method: request.method,
      // Built from nothing: no header of the client's crosses, X-Conversation-Id and x-isha-* among them.
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
    // Waited for instead of aborted: a signal of our own, joined with the client's, costs a call some 20 µs.
    const response = await withTimeout(asked, request.timeoutMs);
    if (response === null) {
      void letGo(asked);
      return { kind: "timeout", internal: `box ${box.name}: no headers in ${request.timeoutMs} ms` };
    }
    if (response.headers.get(AGENT_HEADER) === box.name) return { kind: "answer", response };
    await response.body?.cancel();
    const internal = `box ${box.name}: ${response.status} from something that isn't its agent`;
    return { kind: GAVE_UP.has(response.status) ? "timeout" : "unreachable", internal };
  } catch (error) {
    return { kind: "unreachable", internal: `box ${box.name}: ${thrownName(error)}` };
  }
}

/** An answer that nobody waits for any more; one that never comes ends with the client's request. */
async function letGo(asked: Promise<Response>): Promise<void> {
  try {
    await (await asked).body?.cancel();
  } catch {
    // It never came, or broke.
  }
}

/** What stands before a path: a box's address is taken apart once an isolate. */
function originOf(address: string): string {
  const known = origins.get(address);
  if (known !== undefined) return known;
  const { origin } = new URL(address);
  origins.set(address, origin);
  return origin;
}

const origins = new Map<string, string>();

/** One HMAC a box and isolate, not one a call. */
async function tokenFor(box: string, secret: string): Promise<string> {
  const name = `${secret}\n${box}`;
  const known = tokens.get(name);
  if (known !== undefined) return known;
  const token = await boxToken(hmacHex, secret, box, "edge-to-agent");
  tokens.set(name, token);
  return token;
}

const tokens = new Map<string, string>();
