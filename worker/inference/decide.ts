// Which server a call goes to, and where else it may: a pure decision from the call, who makes it, the fleet file
// and what the boxes last said. It performs nothing and waits for nothing; forward.ts and the agents do what it says.
import { ok, refuse, type Result } from "../../shared/errors.ts";
import {
  DEFAULT_AGENT,
  FALLBACK_POLICIES,
  type Capability,
  type FallbackPolicy,
  type Server,
} from "../../shared/fleet.ts";
import type { Principal } from "../../shared/principal.ts";
import { attemptsFor, type Attempts, type BoxAttempt } from "./box-order.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";
import type { FleetSnapshot } from "../fleet/snapshot.ts";
import type { ModelCall } from "./model-call.ts";

/** The third of the four nouns. */
export interface RouteDecision {
  readonly wantedPort: number;
  /** The agent type the call is counted under: one of the fleet file's, or `Default`. */
  readonly agentType: string;
  /** Tokens the answer may have. */
  readonly maxTokens: number;
  /** Boxes to ask, in order: the next one only where the call was not begun at the one before. */
  readonly attempts: readonly BoxAttempt[];
}

/** What a key may use; of a principal, the part that matters here. */
export type RoutingPermissions = Pick<Principal, "agents" | "fallback">;

/**
 * Decides a call's route.
 *
 *  1. `model_port` names the server; a port nobody has is a 400.
 *  2. else `agent_type` does, letter case aside; unknown or empty is the default server.
 *  3. else `model` does: an agent type, a model id or a file name; unknown is a 404, or the default server
 *     where the fleet file says so.
 *  4. else the default server.
 *
 * By agent type or model any server of that model may serve, the named one first; a port is strict while it
 * is up. Behind those stand the fallbacks: replicas, then `modelRouter`, then the default. Among the boxes those
 * with room come first; where all that may serve are known to be full or draining, the call is refused here.
 * @param turn 0 to 1: which of equally good boxes comes first.
 */
export function decide(
  call: ModelCall,
  asker: RoutingPermissions,
  index: FleetIndex,
  live: FleetSnapshot,
  turn: number,
): Result<RouteDecision> {
  const chosen = choose(call, asker, index);
  if (!chosen.ok) return chosen;
  const { server, agentType, strict } = chosen.value;
  if (!mayUse(asker, server, index)) {
    return refuse("agent_not_allowed", notAllowed(asker, server), { internal: `port ${server.port}` });
  }
  const lacking = call.needs.find(({ capability }) => !server.capabilities.includes(capability));
  if (lacking !== undefined) {
    return refuse("not_supported_by_model", cannot(server, lacking.capability), { param: lacking.param });
  }
  if (call.choices > server.slots) {
    return refuse(
      "invalid_request",
      `n: must be at most ${server.slots}, the answers this model can give at once; it is ${call.choices}.`,
      { param: "n" },
    );
  }
  const policy = strictest([
    asker.fallback,
    index.fleet.fallback[agentType] ?? "auto",
    call.mayFallBack ? "auto" : "none",
  ]);
  const able = (candidate: Server): boolean =>
    mayUse(asker, candidate, index) &&
    call.needs.every(({ capability }) => candidate.capabilities.includes(capability)) &&
    call.choices <= candidate.slots;
  const found = attemptsFor({ server, strict, choices: call.choices, policy, able }, index, live, turn);
  const refused = live.fresh ? refusedEarly(server, found) : null;
  return (
    refused ??
    ok({
      wantedPort: server.port,
      agentType,
      maxTokens: call.maxTokens === null ? server.maxTokens : Math.min(call.maxTokens, server.maxTokens),
      attempts: found.attempts,
    })
  );
}

/** What no box need be asked for. A model that is down is no such case: its box may wait for it, or fall back. */
function refusedEarly(server: Server, { best, mayFallBack, waitMs }: Attempts): Result<never> | null {
  if (best === "full") {
    return refuse(
      "overloaded",
      `Every place for ${server.model} is taken, and so is every place for waiting. Ask again when Retry-After says.`,
      { retryAfterMs: waitMs ?? FULL_RETRY_MS, internal: "by the boxes' last word" },
    );
  }
  if (best === "draining" && !mayFallBack) {
    return refuse(
      "draining",
      "The machine with the model is being taken out of service for a while. Ask again in half a minute.",
      { retryAfterMs: DRAINING_RETRY_MS, internal: "by the boxes' last word" },
    );
  }
  return null;
}

/** What is said where a full box can't tell how long a call would wait, milliseconds: a call's usual length. */
const FULL_RETRY_MS = 5_000;

/** A box is drained for a restart of minutes; milliseconds. */
const DRAINING_RETRY_MS = 30_000;

interface Chosen {
  readonly server: Server;
  readonly agentType: string;
  /** Only this port will do while it is up. */
  readonly strict: boolean;
}

function choose(call: ModelCall, asker: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const named = call.agentType === null ? undefined : index.byAgent.get(call.agentType.toLowerCase());
  if (call.modelPort !== null) {
    const server = index.byPort.get(call.modelPort);
    if (server === undefined) {
      const ports = [...index.byPort].map(([port, { model }]) => `${port} (${model})`).join(", ");
      return refuse("unknown_port", `model_port: no model has port ${call.modelPort}. There are: ${ports}.`, {
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
  if (call.model !== null) return chooseByModel(call.model, asker, index);
  return ok({ server: index.defaultServer, agentType: DEFAULT_AGENT, strict: false });
}

function chooseByModel(model: string, asker: RoutingPermissions, index: FleetIndex): Result<Chosen> {
  const wanted = model.toLowerCase();
  const agent = index.byAgent.get(wanted);
  if (agent !== undefined) return ok({ server: agent.server, agentType: agent.name, strict: false });
  const servers = index.byModel.get(wanted) ?? [];
  // Of a model's replicas the first that this key may use is its home; with none of them, the refusal names the first.
  const server = servers.find((replica) => mayUse(asker, replica, index)) ?? servers[0];
  if (server !== undefined) return ok({ server, agentType: DEFAULT_AGENT, strict: false });
  if (index.fleet.unknownModel === "default")
    return ok({ server: index.defaultServer, agentType: DEFAULT_AGENT, strict: false });
  const models = new Set([...index.byPort.values()].map((known) => known.model));
  const agents = [...index.byAgent.values()].map((known) => known.name);
  return refuse(
    "model_not_found",
    `There is no model of that name. Models: ${[...models].join(", ")}. Agent types: ${agents.join(", ")}. GET /v1/models tells them apart.`,
    { param: "model" },
  );
}

/** A key that is limited to agent types may use a server that lists one of them; the default server counts as `Default`. */
export function mayUse(
  asker: Pick<RoutingPermissions, "agents">,
  server: Server,
  index: FleetIndex,
): boolean {
  if (asker.agents === null) return true;
  const listed = server.port === index.fleet.defaultPort ? [...server.agents, DEFAULT_AGENT] : server.agents;
  return listed.some((agent) => asker.agents?.includes(agent));
}

function notAllowed(asker: RoutingPermissions, server: Server): string {
  return `This API key may not use the model on port ${server.port}. It may use these agent types: ${asker.agents?.join(", ") ?? ""}.`;
}

function cannot(server: Server, need: Capability): string {
  const what = {
    chat: "chat",
    vision: "look at images",
    audio: "listen to audio",
    embeddings: "make embeddings",
    rerank: "rerank",
  };
  return `${server.model} cannot ${what[need]}. It can: ${server.capabilities.join(", ")}.`;
}

function strictest(policies: readonly FallbackPolicy[]): FallbackPolicy {
  const rank = Math.max(...policies.map((policy) => FALLBACK_POLICIES.indexOf(policy)));
  return FALLBACK_POLICIES[rank] ?? "none";
}
