// Decides which server serves a call, and which others may. Pure: the call, the key's permissions, the fleet file and the
// fleet snapshot go in; forward.ts and the agents carry out the decision.
import type { Dialect } from "../../shared/dialects.ts";
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
  /** Whether the request named an agent type that no server lists, so that the default server answers. */
  readonly unknownAgent: boolean;
  /** The most tokens of the answer; null for a route that generates none, and if the body itself carries the cap. */
  readonly maxTokens: number | null;
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
  const decided = decideFor(chosen.value, { call, permissions, index, snapshot, random });
  if (decided.ok) return decided;
  const { server, agentType } = chosen.value;
  const { port, model } = server;
  return { ok: false, refusal: { ...decided.refusal, server: { port, model }, agentType } };
}

interface DecisionInput {
  readonly call: ModelCall;
  readonly permissions: RoutingPermissions;
  readonly index: FleetIndex;
  readonly snapshot: FleetSnapshot;
  readonly random: number;
}

function decideFor(
  { server, agentType, unknownAgent, strict }: Chosen,
  { call, permissions, index, snapshot, random }: DecisionInput,
): Result<RouteDecision> {
  if (!mayUse(permissions, server, index)) {
    return refuse("agent_not_allowed", notAllowed(call, permissions), { internal: `port ${server.port}` });
  }
  const unable = refuseUnable(call, server, permissions, index);
  if (unable !== null) return unable;
  const policy = strictest([
    permissions.fallback,
    index.fleet.fallback[agentType] ?? "auto",
    call.mayFallBack ? "auto" : "none",
  ]);
  const canServe = (candidate: Server): boolean =>
    mayUse(permissions, candidate, index) &&
    call.needs.every(({ capability }) => candidate.capabilities.includes(capability)) &&
    call.choices <= candidate.slots &&
    !exceedsCap(call, candidate);
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
      unknownAgent,
      maxTokens: capOf(call, server),
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
      { retryAfterMs: waitMs ?? FULL_RETRY_MS, internal: "refused at the edge, by the boxes' last reports" },
    );
  }
  if (best === "draining" && !canFallBack) {
    return refuse(
      "draining",
      "The machine with the model is being taken out of service for a short time. Try again in 30 s.",
      { retryAfterMs: DRAINING_RETRY_MS, internal: "refused at the edge, by the boxes' last reports" },
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
  readonly unknownAgent: boolean;
  /** Only this port may serve the call while it is up. */
  readonly strict: boolean;
}

function choose(call: ModelCall, permissions: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const named = call.agentType === null ? undefined : index.byAgent.get(call.agentType.toLowerCase());
  if (call.modelPort !== null) {
    const server = index.byPort.get(call.modelPort);
    if (server === undefined) {
      return unknownPort(call.modelPort, permissions, index);
    }
    return ok({ ...DEFAULT, server, agentType: named?.name ?? DEFAULT_AGENT, strict: true });
  }
  if (call.agentType !== null) return chooseByAgent(call.agentType, permissions, index);
  if (call.model !== null) return chooseByModel(call.model, permissions, index);
  return ok({ ...DEFAULT, server: index.defaultServer });
}

const DEFAULT = { agentType: DEFAULT_AGENT, unknownAgent: false, strict: false };

function unknownPort(port: number, permissions: RoutingPermissions, index: FleetIndex): Result<never> {
  // A key that is limited to agent types gets no list of ports.
  const known =
    permissions.agents === null
      ? `must be one of ${[...index.byPort].map(([known, { model }]) => `${known} (${model})`).join(", ")}; got ${port}`
      : `no server has port ${port}; name an agent type in agent_type: ${permissions.agents.join(", ")}`;
  return refuse("unknown_port", `model_port: ${known}.`, { param: "model_port" });
}

function chooseByAgent(agent: string, permissions: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const named = index.byAgent.get(agent.toLowerCase());
  if (named !== undefined) return ok({ ...DEFAULT, server: named.server, agentType: named.name });
  const isDefault = agent.toLowerCase() === DEFAULT_AGENT.toLowerCase();
  if (index.fleet.unknownAgent === "refuse" && !isDefault) {
    return refuse(
      "invalid_request",
      `agent_type: must be one of ${agentsOf(permissions, index).join(", ")}; or leave it out for the default model.`,
      { param: "agent_type" },
    );
  }
  return ok({ ...DEFAULT, server: index.defaultServer, unknownAgent: !isDefault });
}

/** The agent types that a key may use. */
function agentsOf({ agents }: RoutingPermissions, index: FleetIndex): readonly string[] {
  return agents ?? [...[...index.byAgent.values()].map(({ name }) => name), DEFAULT_AGENT];
}

function chooseByModel(model: string, permissions: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const wanted = model.toLowerCase();
  const agent = index.byAgent.get(wanted);
  if (agent !== undefined) return ok({ ...DEFAULT, server: agent.server, agentType: agent.name });
  const servers = index.byModel.get(wanted) ?? [];
  // The first replica that this key may use is its home. If it may use none, the refusal names the first one.
  const server = servers.find((replica) => mayUse(permissions, replica, index)) ?? servers[0];
  if (server !== undefined) return ok({ ...DEFAULT, server });
  if (index.fleet.unknownModel === "default") return ok({ ...DEFAULT, server: index.defaultServer });
  const usable = [...index.byPort.values()].filter((known) => mayUse(permissions, known, index));
  const models = new Set(usable.map((known) => known.model));
  return refuse(
    "model_not_found",
    `model: unknown model. Models: ${[...models].join(", ")}. Agent types: ${agentsOf(permissions, index).join(", ")}. GET /v1/models describes them.`,
    { param: "model" },
  );
}

/** Refuses what the server can't do, whatever its state. */
function refuseUnable(
  call: ModelCall,
  server: Server,
  permissions: RoutingPermissions,
  index: FleetIndex,
): Result<never> | null {
  const missing = call.needs.find(({ capability }) => !server.capabilities.includes(capability));
  if (missing !== undefined) {
    const able = [...index.byPort.values()].find(
      (other) => other.capabilities.includes(missing.capability) && mayUse(permissions, other, index),
    );
    return refuse("not_supported_by_model", cannot(server, missing.capability, able), {
      param: missing.param,
    });
  }
  if (call.choices > server.slots) {
    const what = call.choicesParam === "n" ? "" : "the prompts times n ";
    return refuse(
      "invalid_request",
      `${call.choicesParam}: ${what}must be at most ${server.slots}, the number of slots of this model; got ${call.choices}.`,
      { param: call.choicesParam },
    );
  }
  if (exceedsCap(call, server)) {
    return refuse(
      "invalid_request",
      `max_tokens: must be at most ${server.maxTokens} for ${server.model}; got ${call.maxTokens}.`,
      { param: "max_tokens" },
    );
  }
  return null;
}

/** Dialects whose cap the agent sets (`n_predict`); on the others llama-server reads the body's own field, or needs none. */
const CAPPED: ReadonlySet<Dialect> = new Set(["chat", "completions", "responses"]);

function capOf({ dialect, maxTokens }: ModelCall, server: Server): number | null {
  if (!CAPPED.has(dialect)) return null;
  return maxTokens === null ? server.maxTokens : Math.min(maxTokens, server.maxTokens);
}

function exceedsCap({ dialect, maxTokens }: ModelCall, server: Server): boolean {
  return !CAPPED.has(dialect) && maxTokens !== null && maxTokens > server.maxTokens;
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

/** Names the port only if the request did. */
function notAllowed({ modelPort }: ModelCall, { agents }: RoutingPermissions): string {
  const what = modelPort === null ? "the requested model" : `the model on port ${modelPort}`;
  return `This API key may not use ${what}. Its agent types are: ${agents?.join(", ") ?? ""}.`;
}

const WHAT: Readonly<Record<Capability, string>> = {
  chat: "chat",
  tools: "tools",
  json_schema: "JSON schemas",
  vision: "images",
  audio: "audio",
  embeddings: "embeddings",
  rerank: "reranking",
};

/** @param able a server that has the capability and that the key may use */
function cannot(server: Server, need: Capability, able: Server | undefined): string {
  const text = `${server.model} doesn't support ${WHAT[need]}.`;
  if (able === undefined) {
    return `${text} No model of this service does; its operator would have to add one whose capabilities include ${need}.`;
  }
  const agent = able.agents[0];
  return `${text} Use ${agent === undefined ? `the model "${able.model}"` : `the agent type "${agent}"`}.`;
}

function strictest(policies: readonly FallbackPolicy[]): FallbackPolicy {
  const rank = Math.max(...policies.map((policy) => FALLBACK_POLICIES.indexOf(policy)));
  return FALLBACK_POLICIES[rank] ?? "none";
}
