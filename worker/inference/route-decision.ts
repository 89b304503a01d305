// Decides which server serves a call, and which others may. Pure: the call, the key's permissions, the fleet file and the
// fleet snapshot go in; forward.ts and the agents carry out the decision.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import {
  DEFAULT_AGENT,
  FALLBACK_POLICIES,
  type Capability,
  type FallbackPolicy,
  type Server,
} from "../../shared/fleet.ts";
import type { Principal } from "../../shared/principal.ts";
import { boxOrder, type BoxChoice, type BoxOrder } from "./box-order.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import type { FleetSnapshot } from "../fleet/snapshot.ts";
import type { ModelCall } from "./model-call.ts";

export interface RouteDecision {
  readonly wantedPort: number;
  /** The agent type under which the call is counted: one of the fleet file's, or `Default`. */
  readonly agentType: string;
  /** The most tokens of the answer. */
  readonly maxTokens: number;
  /** Boxes to try, in order: the next one only if the call was not started at the one before. */
  readonly boxes: readonly BoxChoice[];
}

/** The part of a principal that affects routing. */
export type RoutingPermissions = Pick<Principal, "agents" | "fallback">;

/**
 * Decides a call's route.
 *
 *  1. `model_port` names the server; an unknown port is a 400.
 *  2. Otherwise `agent_type` does, in any letter case; an unknown or empty one means the default server.
 *  3. Otherwise `model` does: an agent type, a model id or a file name; an unknown one is a 404, or means the default
 *     server if the fleet file sets that.
 *  4. Otherwise the default server.
 *
 * By agent type or model, any server of the model may serve, the named one first; a port is strict while it is up. Then
 * come the fallbacks: replicas, `modelRouter`, the default server. Boxes with room come first. If all servers that may
 * serve the call are known to be full or draining, it is refused here.
 * @param random from 0 to below 1: decides between equally good boxes
 */
export function decide(
  call: ModelCall,
  permissions: RoutingPermissions,
  index: FleetIndex,
  snapshot: FleetSnapshot,
  random: number,
): Result<RouteDecision> {
  const chosen = choose(call, permissions, index);
  if (!chosen.ok) return chosen;
  const { server, agentType, strict } = chosen.value;
  if (!mayUse(permissions, server, index)) {
    return refuse("agent_not_allowed", notAllowed(permissions, server), { internal: `port ${server.port}` });
  }
  const missing = call.needs.find(({ capability }) => !server.capabilities.includes(capability));
  if (missing !== undefined) {
    return refuse("not_supported_by_model", cannot(server, missing.capability), { param: missing.param });
  }
  if (call.choices > server.slots) {
    return refuse(
      "invalid_request",
      `n: must be at most ${server.slots}, the number of slots of this model; got ${call.choices}.`,
      { param: "n" },
    );
  }
  const policy = strictest([
    permissions.fallback,
    index.fleet.fallback[agentType] ?? "auto",
    call.mayFallBack ? "auto" : "none",
  ]);
  const canServe = (candidate: Server): boolean =>
    mayUse(permissions, candidate, index) &&
    call.needs.every(({ capability }) => candidate.capabilities.includes(capability)) &&
    call.choices <= candidate.slots;
  const order = boxOrder(
    { server, strict, choices: call.choices, policy, canServe },
    index,
    snapshot,
    random,
  );
  const refused = snapshot.fresh && order.current ? refusedEarly(server, order) : null;
  return (
    refused ??
    ok({
      wantedPort: server.port,
      agentType,
      maxTokens: call.maxTokens === null ? server.maxTokens : Math.min(call.maxTokens, server.maxTokens),
      boxes: order.boxes,
    })
  );
}

/** Refuses a call that no box would accept. A model that is down is no reason: its box may wait for it, or fall back. */
function refusedEarly(server: Server, { best, canFallBack, waitMs }: BoxOrder): Result<never> | null {
  if (best === "full") {
    return refuse(
      "overloaded",
      `All slots and queue places of ${server.model} are taken. Try again after the time in Retry-After.`,
      { retryAfterMs: waitMs ?? FULL_RETRY_MS, internal: "by the boxes' last snapshots" },
    );
  }
  if (best === "draining" && !canFallBack) {
    return refuse(
      "draining",
      "The machine with the model is being taken out of service for a short time. Try again in 30 s.",
      { retryAfterMs: DRAINING_RETRY_MS, internal: "by the boxes' last snapshots" },
    );
  }
  return null;
}

/** Used if a full box doesn't report its queue time: a call's usual length. */
const FULL_RETRY_MS = 5_000;

/** A box is drained for a restart, which takes minutes. */
const DRAINING_RETRY_MS = 30_000;

interface Chosen {
  readonly server: Server;
  readonly agentType: string;
  /** Only this port may serve the call while it is up. */
  readonly strict: boolean;
}

function choose(call: ModelCall, permissions: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const named = call.agentType === null ? undefined : index.byAgent.get(call.agentType.toLowerCase());
  if (call.modelPort !== null) {
    const server = index.byPort.get(call.modelPort);
    if (server === undefined) {
      const ports = [...index.byPort].map(([port, { model }]) => `${port} (${model})`).join(", ");
      return refuse("unknown_port", `model_port: must be one of ${ports}; got ${call.modelPort}.`, {
        param: "model_port",
      });
    }
    return ok({ server, agentType: named?.name ?? DEFAULT_AGENT, strict: true });
  }
  if (call.agentType !== null) {
    return ok({
      server: named?.server ?? index.defaultServer,
      agentType: named?.name ?? DEFAULT_AGENT,
      strict: false,
    });
  }
  if (call.model !== null) return chooseByModel(call.model, permissions, index);
  return ok({ server: index.defaultServer, agentType: DEFAULT_AGENT, strict: false });
}

function chooseByModel(model: string, permissions: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const wanted = model.toLowerCase();
  const agent = index.byAgent.get(wanted);
  if (agent !== undefined) return ok({ server: agent.server, agentType: agent.name, strict: false });
  const servers = index.byModel.get(wanted) ?? [];
  // The first replica that this key may use is its home. If it may use none, the refusal names the first one.
  const server = servers.find((replica) => mayUse(permissions, replica, index)) ?? servers[0];
  if (server !== undefined) return ok({ server, agentType: DEFAULT_AGENT, strict: false });
  if (index.fleet.unknownModel === "default")
    return ok({ server: index.defaultServer, agentType: DEFAULT_AGENT, strict: false });
  const models = new Set([...index.byPort.values()].map((known) => known.model));
  const agents = [...index.byAgent.values()].map((known) => known.name);
  return refuse(
    "model_not_found",
    `model: unknown model. Models: ${[...models].join(", ")}. Agent types: ${agents.join(", ")}. GET /v1/models describes them.`,
    { param: "model" },
  );
}

/** Whether a key that is limited to agent types may use a server: it must list one of them; the default server lists `Default`. */
export function mayUse(
  permissions: Pick<RoutingPermissions, "agents">,
  server: Server,
  index: FleetIndex,
): boolean {
  if (permissions.agents === null) return true;
  const listed = server.port === index.fleet.defaultPort ? [...server.agents, DEFAULT_AGENT] : server.agents;
  return listed.some((agent) => permissions.agents?.includes(agent));
}

function notAllowed(permissions: RoutingPermissions, server: Server): string {
  return `This API key may not use the model on port ${server.port}. Its agent types are: ${permissions.agents?.join(", ") ?? ""}.`;
}

function cannot(server: Server, need: Capability): string {
  const what = {
    chat: "chat",
    tools: "tools",
    json_schema: "JSON schemas",
    vision: "images",
    audio: "audio",
    embeddings: "embeddings",
    rerank: "reranking",
  };
  return `${server.model} doesn't support ${what[need]}. Its capabilities are: ${server.capabilities.join(", ")}.`;
}

function strictest(policies: readonly FallbackPolicy[]): FallbackPolicy {
  const rank = Math.max(...policies.map((policy) => FALLBACK_POLICIES.indexOf(policy)));
  return FALLBACK_POLICIES[rank] ?? "none";
}
