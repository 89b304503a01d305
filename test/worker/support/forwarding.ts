// A decided call on its way to a box, as the route hands it to `forward`.
import type { Refusal } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import type { Principal } from "../../../shared/principal.ts";
import type { Settings } from "../../../worker/env.ts";
import type { RouteDecision } from "../../../worker/inference/decide.ts";
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

/** To `north`, then to `south`, for port 9001 on either. */
const DECISION: RouteDecision = {
  wantedPort: 9001,
  agentType: "Alpha",
  maxTokens: 500,
  attempts: [
    { box: "north", ports: [9001], fallbackPorts: [] },
    { box: "south", ports: [9001], fallbackPorts: [9000] },
  ],
};

export interface Watched {
  readonly forwarding: Forwarding;
  /** What was told of streams that broke. */
  readonly breaks: Refusal[];
  /** Waits for what was to run on. */
  readonly settled: () => Promise<void>;
}

export function forwardingOf(more: Partial<Forwarding> = {}, fleet: FleetConfig = twoBoxes()): Watched {
  const breaks: Refusal[] = [];
  const running: Promise<unknown>[] = [];
  const forwarding: Forwarding = {
    requestId: "req_1",
    call: callOf(),
    decision: DECISION,
    principal: PRINCIPAL,
    bytes: new TextEncoder().encode('{"messages":[]}'),
    boxes: fleet.boxes,
    settings: SETTINGS,
    signal: new AbortController().signal,
    waitUntil: (work) => void running.push(work),
    onBreak: (refusal) => void breaks.push(refusal),
    ...more,
  };
  return { forwarding, breaks, settled: async () => void (await Promise.all(running)) };
}
