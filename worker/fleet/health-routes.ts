// GET /healthz: whether the service can do its work, for operators and monitors. GET /livez: the edge alone.
import type { Context } from "hono";
import { RefusedError } from "../../shared/errors.ts";
import { DEFAULT_AGENT } from "../../shared/fleet.ts";
import type { ServerState } from "../../shared/health.ts";
import type { EdgeEnv } from "../context.ts";
import { bestState, type BoxView, type FleetHealth } from "./box-health.ts";
import type { FleetIndex } from "./fleet-index.ts";

/** `draining`: drained by an operator, or its agent shuts down. `down`: its agent reports that no server takes calls. */
type BoxStatus = "up" | "draining" | "down" | "unreachable";

interface HealthAnswer {
  /** `ok`: everything is up. `degraded`: something isn't. `down`: no model can be served. */
  readonly status: "ok" | "degraded" | "down";
  readonly boxes: Readonly<Record<string, BoxStatus>>;
  readonly models: Readonly<Record<string, ServerState>>;
  /** The agent types named by `?require` that no server is ready for. */
  readonly missing?: readonly string[];
  /** Some servers or cards are simulated, as under `npm start`; absent if none is. */
  readonly simulated?: true;
}

export function healthz(index: FleetIndex, health: FleetHealth) {
  return async function answerHealth(c: Context<EdgeEnv>): Promise<Response> {
    const required = requiredAgents(c.req.query("require"), index);
    const views = await health(c);
    const models = modelStates(views, index);
    const missing = required.filter((agent) => agentState(views, agent, index) !== "ready");
    const states = Object.values(models);
    const boxes = views.map((view) => [view.box.name, boxStatus(view)] as const);
    const isComplete =
      states.every((state) => state === "ready") && boxes.every(([, status]) => status === "up");
    const answer: HealthAnswer = {
      status: !states.includes("ready") ? "down" : isComplete ? "ok" : "degraded",
      boxes: Object.fromEntries(boxes),
      models,
      ...(missing.length === 0 ? {} : { missing }),
      ...(views.some(({ simulated }) => simulated === true) ? { simulated: true } : {}),
    };
    const isServing = boxes.some(([, status]) => status === "up");
    return c.json(answer, isServing && missing.length === 0 ? 200 : 503);
  };
}

export function livez() {
  return function answerLive(c: Context<EdgeEnv>): Response {
    return c.json({ status: "ok" });
  };
}

function boxStatus({ draining, states }: BoxView): BoxStatus {
  if (draining === true) return "draining";
  if (states === null) return "unreachable";
  return [...states.values()].some((state) => state !== "down") ? "up" : "down";
}

/** The state of each model: the best of its replicas. */
function modelStates(views: readonly BoxView[], index: FleetIndex): Record<string, ServerState> {
  const models = new Set(index.boxes.flatMap((box) => box.servers.map((server) => server.model)));
  return Object.fromEntries(
    [...models].map((model) => [model, bestState(views, (server) => server.model === model)]),
  );
}

/** An agent type is served by any replica of its model. */
function agentState(views: readonly BoxView[], agent: string, index: FleetIndex): ServerState {
  const home = index.byAgent.get(agent.toLowerCase())?.server ?? index.defaultServer;
  return bestState(views, (server) => server.model === home.model);
}

/** `?require=Clinical,Claims` or `?require=all`. */
function requiredAgents(text: string | undefined, index: FleetIndex): string[] {
  if (text === undefined || text === "") return [];
  const known = [...[...index.byAgent.values()].map(({ name }) => name), DEFAULT_AGENT];
  if (text.toLowerCase() === "all") return known;
  return text.split(",").map((required) => {
    const found = known.find((name) => name.toLowerCase() === required.trim().toLowerCase());
    if (found !== undefined) return found;
    throw new RefusedError({
      code: "invalid_request",
      message: `require: contains an unknown agent type. Known ones are: ${known.join(", ")}; or "all".`,
      param: "require",
    });
  });
}
