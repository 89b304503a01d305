// POST /v1/chat/completions: reads the call, decides its route, forwards it.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { decide, type RouteDecision } from "./route-decision.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import type { SnapshotCache } from "../fleet/snapshot-cache.ts";
import { forward } from "./forward.ts";
import { readChatCall } from "./model-call.ts";

export function chatCompletions(index: FleetIndex, snapshots: SnapshotCache) {
  return async function answerChat(c: Context<EdgeEnv>): Promise<Response> {
    // `c.var` copies all variables each time it is read.
    const principal = c.get("principal");
    const requestId = c.get("requestId");
    const body = await c.get("body");
    if (!body.ok) throw new RefusedError(body.refusal);
    const call = readChatCall(body.value);
    if (!call.ok) throw new RefusedError(call.refusal);
    const decision = decide(call.value, principal, index, await c.get("snapshot"), Math.random());
    if (!decision.ok) throw new RefusedError(decision.refusal);
    noteSent(snapshots, decision.value);

    const log = (code: string, cause: string | null): void =>
      c.get("refusals").note(c, { requestId, code, route: c.req.routePath, key: principal.keyId, cause });
    const forwarded = await forward({
      requestId,
      call: call.value,
      decision: decision.value,
      principal,
      body: body.value,
      boxes: index.boxes,
      settings: c.get("settings"),
      signal: c.req.raw.signal,
      waitUntil: (work) => c.executionCtx.waitUntil(work),
      onLost: (box) => snapshots.lost(box),
      onBreak: (refusal) => log(refusal.code, refusal.internal ?? null),
    });
    if (!forwarded.ok) throw new RefusedError(forwarded.refusal);
    const { response, code } = forwarded.value;
    if (code !== null) log(code, "refused by the agent");
    return response;
  };
}

function noteSent(snapshots: SnapshotCache, { boxes: [first] }: RouteDecision): void {
  const port = first?.ports[0] ?? first?.fallbackPorts[0];
  if (first !== undefined && port !== undefined) snapshots.sent(first.box, port);
}
