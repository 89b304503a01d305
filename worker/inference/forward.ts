// Carries a decided call to a box and its answer back. It tries the next box only where the call was not
// begun, and holds a stream's end open so that a break can still be told in the stream itself.
import {
  ANSWER_HEADERS,
  CODE_HEADER,
  DIALECT_PATHS,
  STARTED_HEADER,
  encodeCall,
} from "../../shared/call-headers.ts";
import { errorEvent, ok, refuse, type ErrorCode, type Refusal, type Result } from "../../shared/errors.ts";
import type { Box } from "../../shared/fleet.ts";
import { CALL_DEADLINE_MS, EDGE_DEADLINE_MARGIN_MS } from "../../shared/limits.ts";
import type { Principal } from "../../shared/principal.ts";
import type { Settings } from "../env.ts";
import type { BoxAttempt } from "./box-order.ts";
import type { RouteDecision } from "./decide.ts";
import { scopeId } from "../auth/keyed-hash.ts";
import type { ModelCall } from "./model-call.ts";
import { originFetch, type OriginAnswer } from "../fleet/box-fetch.ts";

export interface Forwarding {
  readonly requestId: string;
  readonly call: ModelCall;
  readonly decision: RouteDecision;
  readonly principal: Principal;
  readonly bytes: Uint8Array;
  readonly boxes: readonly Box[];
  readonly settings: Settings;
  readonly signal: AbortSignal;
  /** Keeps the isolate alive for what runs on after the answer's headers. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Told of a stream that broke after its headers: no status can say it any more. */
  readonly onBreak: (refusal: Refusal) => void;
}

export interface Forwarded {
  readonly response: Response;
  /** The code of the agent's refusal, where this is one. */
  readonly code: string | null;
}

/** The answer to hand to the client, an agent's refusal among them; or why no box gave one. */
export async function forward(forwarding: Forwarding): Promise<Result<Forwarded>> {
  const scope = await scopeOf(forwarding);
  let notBegun: Response | null = null;
  let isFull = false;
  const causes: string[] = [];
  for (const planned of forwarding.decision.attempts) {
    // Where its model is up and only has no room, a call isn't moved to another model.
    const attempt: BoxAttempt = isFull ? { ...planned, fallbackPorts: [] } : planned;
    const box = forwarding.boxes.find((candidate) => candidate.name === attempt.box);
    if (box === undefined || attempt.ports.length + attempt.fallbackPorts.length === 0) continue;
    const answer = await ask(box, attempt, scope, forwarding);
    if (answer.kind === "timeout")
      return refuse("upstream_timeout", TOOK_TOO_LONG, { internal: answer.internal });
    if (answer.kind === "unreachable") {
      causes.push(answer.internal);
      continue;
    }
    const { response } = answer;
    if (response.status === 403) {
      await response.body?.cancel();
      causes.push(`box ${box.name} refused our token: its BOX_SECRET differs from ours`);
      continue;
    }
    if (!mayAskNext(response)) return ok(handOn(response, forwarding));
    // That it is full tells a client more than that another box's is down.
    const isTold = !isFull || saysFull(response);
    await (isTold ? notBegun : response)?.body?.cancel();
    if (isTold) notBegun = response;
    isFull ||= saysFull(response) && attempt.fallbackPorts.length === 0;
  }
  if (notBegun !== null) return ok(handOn(notBegun, forwarding));
  return refuse(
    "box_unreachable",
    "The machine with the model cannot be reached just now. Ask again in a few seconds.",
    {
      retryAfterMs: 5_000,
      internal: causes.join("; "),
    },
  );
}

const TOOK_TOO_LONG =
  "The machine with the model took too long. The call may still be running there; ask again in a while.";

async function ask(
  box: Box,
  attempt: BoxAttempt,
  scope: string | null,
  forwarding: Forwarding,
): Promise<OriginAnswer> {
  return originFetch(box, forwarding.settings, {
    method: "POST",
    path: DIALECT_PATHS[forwarding.call.dialect],
    headers: { "content-type": "application/json", ...callHeaders(forwarding, attempt, scope) },
    body: forwarding.bytes,
    timeoutMs: CALL_DEADLINE_MS + EDGE_DEADLINE_MARGIN_MS,
    signal: forwarding.signal,
  });
}

/** The agent itself says that no server has seen the call. */
function mayAskNext(response: Response): boolean {
  return (response.status === 502 || response.status === 503) && response.headers.get(STARTED_HEADER) === "0";
}

/** No place was free. From a box that had no other model to try, it says that the wanted one is up. */
function saysFull(response: Response): boolean {
  return response.headers.get(CODE_HEADER) === ("overloaded" satisfies ErrorCode);
}

async function scopeOf({ call, principal, settings }: Forwarding): Promise<string | null> {
  return call.scopeName === null ? null : scopeId(settings.boxSecret, principal.keyId, call.scopeName);
}

function callHeaders(
  { requestId, call, decision, principal, boxes }: Forwarding,
  attempt: BoxAttempt,
  scope: string | null,
): Record<string, string> {
  const { concurrent } = principal.limits;
  return encodeCall({
    requestId,
    dialect: call.dialect,
    format: call.format,
    wantedPort: decision.wantedPort,
    ports: attempt.ports,
    fallbackPorts: attempt.fallbackPorts,
    stream: call.stream,
    choices: call.choices,
    continuable: call.continuable,
    keyId: principal.keyId,
    scope,
    agentType: decision.agentType,
    priority: principal.priority,
    concurrent: concurrent === null ? null : Math.ceil(concurrent / boxes.length),
    deadlineMs: CALL_DEADLINE_MS,
    set: { n_predict: decision.maxTokens },
  });
}

/** The agent's answer with the headers that may reach a client, and nothing else of it. */
function handOn(response: Response, forwarding: Forwarding): Forwarded {
  const headers = new Headers();
  for (const name of ANSWER_HEADERS) {
    const value = response.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const streams =
    response.body !== null && (headers.get("content-type") ?? "").startsWith("text/event-stream");
  const body = streams ? heldOpen(response.body, forwarding) : response.body;
  return {
    response: new Response(body, { status: response.status, headers }),
    code: response.headers.get(CODE_HEADER),
  };
}

/**
 * The runtime's own pipe, with our end of it left open: no script of ours runs per chunk, and where the way
 * to the box breaks there is still somebody to say so.
 */
function heldOpen(
  source: ReadableStream<Uint8Array>,
  { requestId, waitUntil, onBreak }: Forwarding,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new IdentityTransformStream();
  async function pump(): Promise<void> {
    try {
      await source.pipeTo(writable, { preventClose: true, preventAbort: true });
      await writable.close();
    } catch {
      // Either side may have gone. Writing tells: to a client that left it fails, and nothing is owed.
      const writer = writable.getWriter();
      try {
        // The break can lie inside an event: the blank line ends it.
        await writer.write(new TextEncoder().encode(`\n\n${errorEvent(BROKE_OFF, requestId)}`));
        onBreak(BROKE_OFF);
        await writer.close();
      } catch {
        return;
      }
    }
  }
  waitUntil(pump());
  return readable;
}

const BROKE_OFF: Refusal = {
  code: "box_unreachable",
  message:
    "The way to the machine with the model broke in the middle of the answer. What came so far is not the whole answer; ask again.",
  internal: "the stream from the box broke off",
};
