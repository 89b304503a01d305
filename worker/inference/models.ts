// GET /v1/models and /v1/models/:id: models and agent types in OpenAI's format, or in Anthropic's for its clients, with
// their use and their current state in `isha`. A key gets only those that it may use.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import { DEFAULT_AGENT, type Server } from "../../shared/fleet.ts";
import type { Principal } from "../../shared/principal.ts";
import type { EdgeEnv } from "../context.ts";
import { mayUse } from "./route-decision.ts";
import { bestState, type BoxView, type FleetHealth } from "../fleet/box-health.ts";
import type { FleetIndex } from "../fleet/fleet-index.ts";

interface ModelEntry {
  readonly id: string;
  readonly object: "model";
  /** OpenAI's clients expect a time; the fleet file has none. */
  readonly created: 0;
  readonly owned_by: "isha";
  readonly isha: {
    readonly kind: "model" | "agent_type";
    readonly model: string;
    readonly file: string;
    readonly ports: readonly number[];
    readonly agent_types: readonly string[];
    readonly description: string;
    readonly best_for: string;
    readonly context_length: number;
    readonly max_tokens: number;
    readonly capabilities: readonly string[];
    readonly state: "ready" | "loading" | "down";
  };
}

export function listModels(index: FleetIndex, health: FleetHealth) {
  return async function answerModels(c: Context<EdgeEnv>): Promise<Response> {
    const views = await health(c);
    const data = entries(c.var.principal, index, views);
    if (!isAnthropic(c)) return c.json({ object: "list", data });
    const models = data.map(anthropicEntry);
    return c.json({
      data: models,
      has_more: false,
      first_id: models[0]?.id ?? null,
      last_id: models.at(-1)?.id ?? null,
    });
  };
}

export function showModel(index: FleetIndex, health: FleetHealth) {
  return async function answerModel(c: Context<EdgeEnv>): Promise<Response> {
    const id = (c.req.param("id") ?? "").toLowerCase();
    const views = await health(c);
    const all = entries(c.var.principal, index, views);
    const found =
      all.find((entry) => entry.id.toLowerCase() === id) ??
      all.find((entry) => entry.isha.file.toLowerCase() === id);
    if (found !== undefined) return c.json(isAnthropic(c) ? anthropicEntry(found) : found);
    throw new RefusedError({
      code: "model_not_found",
      message: `id: unknown model. Available to this key: ${all.map((entry) => entry.id).join(", ")}.`,
      param: "id",
    });
  };
}

/** Anthropic's SDKs send this header with every request. */
const isAnthropic = (c: Context<EdgeEnv>): boolean => c.req.header("anthropic-version") !== undefined;

function anthropicEntry({ id, isha }: ModelEntry) {
  const { context_length, max_tokens } = isha;
  const limits = { max_input_tokens: context_length, max_tokens };
  return { type: "model", id, display_name: id, created_at: new Date(0).toISOString(), ...limits, isha };
}

/** Models, then agent types: a request's `model` accepts both. */
function entries(principal: Principal, index: FleetIndex, views: readonly BoxView[]): ModelEntry[] {
  const visible = [...index.byPort.values()].filter((server) => mayUse(principal, server, index));
  const firsts = visible.filter(
    (server, at) => visible.findIndex((other) => other.model === server.model) === at,
  );
  const named = [...index.byAgent.values()].filter(({ server }) => mayUse(principal, server, index));
  const allowed = named.filter(({ name }) => principal.agents === null || principal.agents.includes(name));
  return [
    ...firsts.map((server) => entry(server.model, "model", server, visible, { index, views })),
    ...allowed.map(({ name, server }) => entry(name, "agent_type", server, visible, { index, views })),
  ];
}

function entry(
  id: string,
  kind: ModelEntry["isha"]["kind"],
  server: Server,
  visible: readonly Server[],
  { index, views }: { readonly index: FleetIndex; readonly views: readonly BoxView[] },
): ModelEntry {
  const replicas = visible.filter((candidate) => candidate.model === server.model);
  const agents = replicas.flatMap((replica) => [
    ...replica.agents,
    ...(replica.port === index.fleet.defaultPort ? [DEFAULT_AGENT] : []),
  ]);
  return {
    id,
    object: "model",
    created: 0,
    owned_by: "isha",
    isha: {
      kind,
      model: server.model,
      file: server.file,
      ports: replicas.map((replica) => replica.port),
      agent_types: agents,
      description: server.description,
      best_for: server.bestFor,
      context_length: server.contextPerSlot,
      max_tokens: server.maxTokens,
      capabilities: server.capabilities,
      state: bestState(views, (candidate) => candidate.model === server.model),
    },
  };
}
