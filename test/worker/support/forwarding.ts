// The input of `forward` for a routed call.
import { withTimeout } from "../../../worker/http/timeout.ts";
import type { Refusal } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import type { Principal } from "../../../shared/principal.ts";
import type { Settings } from "../../../worker/env.ts";
import type { RouteDecision } from "../../../worker/inference/route-decision.ts";
import type { Forwarding } from "../../../worker/inference/forward.ts";
import { callOf } from "./calls.ts";
import { BOX_SECRET } from "./edge.ts";
import { twoBoxes } from "./fleets.ts";
import { record } from "./limiters.ts";

export const SETTINGS: Settings = {
  boxSecret: BOX_SECRET,
  devKeys: false,
  boxOrigins: {},
  access: null,
  boxSecretPrevious: null,
  firstAdminSha256: null,
};

export const PRINCIPAL: Principal = { ...record(), keyId: "Ab3dEf6h" };

/** `north`, then `south`, both with port 9001. */
const DECISION: RouteDecision = {
  wantedPort: 9001,
  agentType: "Alpha",
  unknownAgent: false,
  maxTokens: 500,
  boxes: [
    { box: "north", ports: [9001], fallbackPorts: [] },
    { box: "south", ports: [9001], fallbackPorts: [9000] },
  ],
};

export interface RecordedForwarding {
  readonly forwarding: Forwarding;
  /** The refusals of streams that broke. */
  readonly breaks: Refusal[];
  /** Waits for work that continues after the answer. */
  readonly settled: () => Promise<void>;
}

export function forwardingOf(
  more: Partial<Forwarding> = {},
  fleet: FleetConfig = twoBoxes(),
): RecordedForwarding {
  const breaks: Refusal[] = [];
  const running: Promise<unknown>[] = [];
  const forwarding: Forwarding = {
    requestId: "req_1",
    call: callOf(),
    decision: DECISION,
    principal: PRINCIPAL,
    body: new TextEncoder().encode('{"messages":[]}'),
    boxes: fleet.boxes,
    settings: SETTINGS,
    signal: new AbortController().signal,
    limit: withTimeout,
    build: (body, status, headers) => new Response(body, { status, headers }),
    waitUntil: (work) => void running.push(work),
    onLost: () => undefined,
    onBreak: (refusal) => void breaks.push(refusal),
    ...more,
  };
  return { forwarding, breaks, settled: async () => void (await Promise.all(running)) };
}
