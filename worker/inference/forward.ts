// Forwards a routed call to a box and returns the answer. It tries the next box only if the call was not started, and
// ends a broken stream with an error event.
import { ANSWER_HEADERS, CODE_HEADER, STARTED_HEADER, encodeCall } from "../../shared/call-headers.ts";
import { DIALECTS } from "../../shared/dialects.ts";
import { errorEvent, ok, refuse, type ErrorCode, type Refusal, type Result } from "../../shared/errors.ts";
import type { Box } from "../../shared/fleet.ts";
import { BOX_HEADERS_WAIT_MS, CALL_DEADLINE_MS } from "../../shared/limits.ts";
import type { Principal } from "../../shared/principal.ts";
import type { Settings } from "../env.ts";
import type { BoxChoice } from "./box-order.ts";
import type { RouteDecision } from "./route-decision.ts";
import type { TimeLimit } from "../http/timeout.ts";
import { scopeId } from "../auth/keyed-hash.ts";
import type { ModelCall } from "./model-call.ts";
import { originFetch, type OriginAnswer } from "../fleet/box-fetch.ts";

export interface Forwarding {
  readonly requestId: string;
  readonly call: ModelCall;
  readonly decision: RouteDecision;
  readonly principal: Principal;
  readonly body: Uint8Array;
  readonly boxes: readonly Box[];
  readonly settings: Settings;
  readonly signal: AbortSignal;
  /** Limits the wait for each box. */
  readonly limit: TimeLimit;
  /** Builds the client's answer with the headers of the request. */
  readonly build: (
    body: ReadableStream | null,
    status: number,
    headers: Readonly<Record<string, string>>,
  ) => Response;
  /** Keeps the isolate alive for work that continues after the answer's headers. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Called with the name of a box that broke the connection. */
  readonly onLost: (box: string) => void;
  /** Called if a stream breaks after its headers. */
  readonly onBreak: (refusal: Refusal) => void;
}

export interface Forwarded {
  readonly response: Response;
  /** The code of the agent's refusal; null if it is none. */
  readonly code: string | null;
}

/** The answer for the client, which may be an agent's refusal; a refusal of our own if no box answered. */
export async function forward(forwarding: Forwarding): Promise<Result<Forwarded>> {
  // Without a name nothing is waited for.
  const { call, principal, settings } = forwarding;
  const scope =
    call.scopeName === null ? null : await scopeId(settings.boxSecret, principal.keyId, call.scopeName);
  let notStarted: Response | null = null;
  let isFull = false;
  const causes: string[] = [];
  for (const planned of forwarding.decision.boxes) {
    // If its model is up but full, a call isn't moved to another model.
    const choice: BoxChoice = isFull ? { ...planned, fallbackPorts: [] } : planned;
    const box = forwarding.boxes.find((candidate) => candidate.name === choice.box);
    if (box === undefined || choice.ports.length + choice.fallbackPorts.length === 0) continue;
    const answer = await send(box, choice, scope, forwarding);
    if (answer.kind === "timeout")
      return refuse("upstream_timeout", TIMED_OUT, { internal: answer.internal });
    // A prompt that breaks one box must not visit every box.
    if (answer.kind === "broken") {
      forwarding.onLost(box.name);
      return unreachable(MAY_HAVE_BEGUN, [answer.internal]);
    }
    if (answer.kind === "not-begun") {
      causes.push(answer.internal);
      continue;
    }
    const { response } = answer;
    if (response.status === 403) {
      await response.body?.cancel();
      causes.push(`box ${box.name} refused our token: its BOX_SECRET differs from ours`);
      continue;
    }
    if (!wasNotStarted(response)) return ok(toClient(response, forwarding));
    // A refusal because a box is full is more useful to a client than one because another box is down.
    const isBetter = !isFull || isOverloaded(response);
    await (isBetter ? notStarted : response)?.body?.cancel();
    if (isBetter) notStarted = response;
    isFull ||= isOverloaded(response) && choice.fallbackPorts.length === 0;
  }
  if (notStarted !== null) return ok(toClient(notStarted, forwarding));
  return unreachable("The machine with the model can't be reached. Try again in a few seconds.", causes);
}

function unreachable(message: string, causes: readonly string[]): Result<never> {
  return refuse("box_unreachable", message, { retryAfterMs: 5_000, internal: causes.join("; ") });
}

const MAY_HAVE_BEGUN =
  "The connection to the machine with the model broke before an answer came. The call may have run there; send it again in a few seconds.";

const TIMED_OUT =
  "The machine with the model did not answer in time. The call may still be running there; wait before you try again.";

async function send(
  box: Box,
  choice: BoxChoice,
  scope: string | null,
  forwarding: Forwarding,
): Promise<OriginAnswer> {
  return originFetch(box, forwarding.settings, {
    method: "POST",
    path: DIALECTS[forwarding.call.dialect].path,
    headers: { "content-type": "application/json", ...callHeaders(forwarding, choice, scope) },
    body: forwarding.body,
    timeoutMs: BOX_HEADERS_WAIT_MS,
    limit: forwarding.limit,
    signal: forwarding.signal,
  });
}

/** The agent itself reports that no server received the call. */
function wasNotStarted(response: Response): boolean {
  return (response.status === 502 || response.status === 503) && response.headers.get(STARTED_HEADER) === "0";
}

/** The queue was full. If the box had no fallback ports, its requested model is up. */
function isOverloaded(response: Response): boolean {
  return response.headers.get(CODE_HEADER) === ("overloaded" satisfies ErrorCode);
}

function callHeaders(
  { requestId, call, decision, principal, boxes }: Forwarding,
  choice: BoxChoice,
  scope: string | null,
): Record<string, string> {
  const { concurrent } = principal.limits;
  return encodeCall({
    requestId,
    dialect: call.dialect,
    format: call.format,
    wantedPort: decision.wantedPort,
    ports: choice.ports,
    fallbackPorts: choice.fallbackPorts,
    stream: call.stream,
    choices: call.choices,
    continuable: call.continuable,
    keyId: principal.keyId,
    scope,
    agentType: decision.agentType,
    priority: principal.priority,
    concurrent: concurrent === null ? null : Math.ceil(concurrent / boxes.length),
    deadlineMs: CALL_DEADLINE_MS,
    set: decision.maxTokens === null ? {} : { n_predict: decision.maxTokens },
    ...(call.suspects.length === 0 ? {} : { suspects: call.suspects }),
  });
}

/** The agent's answer with only the headers that are for the client. */
function toClient(response: Response, forwarding: Forwarding): Forwarded {
  const headers: Record<string, string> = {};
  for (const name of ANSWER_HEADERS) {
    const value = response.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  const isStream = response.body !== null && (headers["content-type"] ?? "").startsWith("text/event-stream");
  const body = isStream ? endingWithError(response.body, forwarding) : response.body;
  return {
    response: forwarding.build(body, response.status, headers),
    code: response.headers.get(CODE_HEADER),
  };
}

/**
 * Passes a stream on; if it breaks, an error event follows. It uses the runtime's own pipe, so that no script runs per
 * chunk, and keeps the writable end open for the error event.
 */
function endingWithError(
  source: ReadableStream<Uint8Array>,
  { requestId, call, waitUntil, onBreak }: Forwarding,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new IdentityTransformStream();
  async function pump(): Promise<void> {
    try {
      await source.pipeTo(writable, { preventClose: true, preventAbort: true });
      await writable.close();
    } catch {
      // Either side may have ended the stream. If the client disconnected, the write fails too.
      const writer = writable.getWriter();
      try {
        // The break can be inside an event: the blank line ends that event.
        await writer.write(
          new TextEncoder().encode(`\n\n${errorEvent(BROKEN, requestId, DIALECTS[call.dialect].errors)}`),
        );
        onBreak(BROKEN);
        await writer.close();
      } catch {
        return;
      }
    }
  }
  waitUntil(pump());
  return readable;
}

const BROKEN: Refusal = {
  code: "box_unreachable",
  message:
    "The connection to the machine with the model broke during the answer. The answer so far is incomplete; send the request again.",
  internal: "the stream from the box broke",
};
