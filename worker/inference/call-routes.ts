// The routes of model calls: one handler for all dialects, which reads the call, decides its route and forwards it.
import type { Context } from "hono";
import { DIALECTS, type Dialect } from "../../shared/dialects.ts";
import { RefusedError, type Refusal } from "../../shared/errors.ts";
import { failureFacts } from "../../shared/failures.ts";
import type { EdgeEnv } from "../context.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import type { SnapshotCache } from "../fleet/snapshot-cache.ts";
import { buildAnswer } from "../http/answer-headers.ts";
import { forward } from "./forward.ts";
import { readCall, type ModelCall } from "./model-call.ts";
import { decide, type RouteDecision } from "./route-decision.ts";

/** The cap on the answer's tokens, if the client requested more. */
export const MAX_TOKENS_HEADER = "x-isha-max-tokens";

/** Anthropic's clients send a date; one that is missing is accepted, since llama-server has a single version. */
const ANTHROPIC_VERSION = /^\d{4}-\d{2}-\d{2}$/;

export function modelCall(dialect: Dialect, index: FleetIndex, snapshots: SnapshotCache) {
  return async function answerCall(c: Context<EdgeEnv>): Promise<Response> {
    // `c.var` copies all variables each time it is read.
    const principal = c.get("principal");
    const requestId = c.get("requestId");
    const body = await c.get("body");
    if (!body.ok) throw new RefusedError(body.refusal);
    checkVersion(dialect, c.req.header("anthropic-version"));
    const call = readCall(dialect, body.value);
    if (!call.ok) throw new RefusedError(call.refusal);
    const decision = decide(call.value, principal, index, await c.get("snapshot"), Math.random());
    if (!decision.ok) throw new RefusedError(decision.refusal);
    noteSent(snapshots, decision.value);

    const server = serverOf(index, decision.value);
    const { agentType } = decision.value;
    const log = (code: string, cause: string | null, retryAfterMs?: number): void =>
      c.get("refusals").note(c, {
        requestId,
        code,
        route: c.req.routePath,
        key: principal.keyId,
        cause,
        ...failureFacts({ server, agentType, retryAfterMs }),
      });
    const forwarded = await forward({
      requestId,
      call: call.value,
      decision: decision.value,
      principal,
      body: body.value,
      boxes: index.boxes,
      settings: c.get("settings"),
      signal: c.req.raw.signal,
      limit: c.get("timer").limit,
      build: (answer, status, headers) => buildAnswer(c, answer, status, headers),
      waitUntil: (work) => c.executionCtx.waitUntil(work),
      onLost: (box) => snapshots.lost(box),
      onBreak: (refusal) => log(refusal.code, refusal.internal ?? null),
    });
    if (!forwarded.ok) throw new RefusedError({ ...forwarded.refusal, server, agentType });
    const { response, code } = forwarded.value;
    if (code !== null) log(code, "refused by the agent", retryAfterOf(response.headers));
    else addNotes(response.headers, call.value, decision.value);
    return response;
  };
}

/** The server that a call is for, whichever one answers in its place. */
function serverOf({ byPort }: FleetIndex, { wantedPort }: RouteDecision): Refusal["server"] {
  const server = byPort.get(wantedPort);
  return server === undefined ? undefined : { port: server.port, model: server.model };
}

/** The time that the agent's refusal gave the client. */
function retryAfterOf(headers: Headers): number | undefined {
  const seconds = headers.get("retry-after");
  return seconds !== null && /^\d{1,4}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}

function checkVersion(dialect: Dialect, version: string | undefined): void {
  if (DIALECTS[dialect].errors !== "anthropic" || version === undefined || ANTHROPIC_VERSION.test(version))
    return;
  throw new RefusedError({
    code: "invalid_request",
    message: "anthropic-version: must be a date such as 2023-06-01.",
    param: "anthropic-version",
  });
}

/** What differs from the request without being an error. */
function addNotes(
  headers: Headers,
  call: ModelCall,
  { maxTokens, unknownAgent, agentType }: RouteDecision,
): void {
  if (maxTokens !== null && call.maxTokens !== null && call.maxTokens > maxTokens)
    headers.set(MAX_TOKENS_HEADER, String(maxTokens));
  if (unknownAgent) headers.append("warning", `299 - "unknown agent_type: ${agentType} answered"`);
}

function noteSent(snapshots: SnapshotCache, { boxes: [first] }: RouteDecision): void {
  const port = first?.ports[0] ?? first?.fallbackPorts[0];
  if (first !== undefined && port !== undefined) snapshots.sent(first.box, port);
}
