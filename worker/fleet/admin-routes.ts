// /admin/fleet and /admin/boxes: the live fleet for operators and the console, its history, and commands to a box.
import type { Context } from "hono";
import { RefusedError, type Refusal } from "../../shared/errors.ts";
import { portsByBox, processesByBox, type Box } from "../../shared/fleet.ts";
import { HistoryQuery } from "../../shared/fleet-view.ts";
import type { AuditEntry } from "../../shared/keys.ts";
import type { BoxCommand } from "../../shared/wire.ts";
import type { EdgeEnv } from "../context.ts";
import { readAdminQuery } from "../http/admin-input.ts";
import { boxesWithoutAccess } from "../http/settings.ts";
import { encodeEvent, EVENT_STREAM_HEADERS } from "../http/sse.ts";
import { fleetHash } from "./fleet-hash.ts";
import type { FleetIndex } from "./fleet-index.ts";
import type { RestartEnd } from "./object/restarts.ts";
import { fleetView, hasChanged } from "./view.ts";
import { keyObject, fleetObject, registryObject } from "../stubs.ts";

type Clock = () => number;

/** How often a stream reads the fleet: with the agent's own intervals a change shows within two seconds. */
const READ_MS = 500;

/** How often a stream checks its key: a revoked key sees nothing a second later. */
const CHECK_MS = 1_000;

/** After this time without a change an `alive` event is sent: a Worker notices a departed client only at a write. */
const QUIET_MS = 5_000;

/** Longest duration of one stream; the console connects again, and its key is authenticated again. */
const STREAM_MS = 5 * 60_000;

export function showFleet(index: FleetIndex, clock: Clock) {
  return async function answerFleet(c: Context<EdgeEnv>): Promise<Response> {
    return c.json(await readView(c, index, clock));
  };
}

/** Server-sent events: `fleet` with the complete view whenever it has changed. */
export function fleetEvents(index: FleetIndex, clock: Clock) {
  return async function answerEvents(c: Context<EdgeEnv>): Promise<Response> {
    const first = await readView(c, index, clock);
    // A HEAD has no body to stream.
    if (c.req.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    c.executionCtx.waitUntil(streamViews(c, index, clock, writable.getWriter(), first));
    return new Response(readable, { headers: EVENT_STREAM_HEADERS });
  };
}

type View = ReturnType<typeof fleetView>;

/** Whether the stream's key is still valid. A built-in key has no record and can't be revoked. */
async function isStillAdmin(c: Context<EdgeEnv>): Promise<boolean> {
  try {
    const key = await keyObject(c.env, c.get("principal").keyId).show();
    return key === null || (key.state === "active" && key.scopes.includes("admin"));
  } catch {
    // The object is restarting: checked again in a second.
    return true;
  }
}

async function readView(c: Context<EdgeEnv>, index: FleetIndex, clock: Clock): Promise<View> {
  const names = index.boxes.map(({ name }) => name);
  const state = await fleetObject(c.env).state(names, portsByBox(index.fleet), processesByBox(index.fleet));
  const view = fleetView(state, index, clock(), boxesWithoutAccess(c.get("settings"), index.boxes));
  return { ...view, fleetHash: await fleetHash(index.fleet) };
}

async function streamViews(
  c: Context<EdgeEnv>,
  index: FleetIndex,
  clock: Clock,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  first: View,
): Promise<void> {
  const until = clock() + STREAM_MS;
  let sent: View | null = null;
  let sentAt = -Infinity;
  let checkedAt = clock();
  let view: View | null = first;
  try {
    while (clock() < until) {
      if (view !== null && (sent === null || hasChanged(sent, view))) {
        await writer.write(encodeEvent("fleet", view));
        sent = view;
        sentAt = clock();
      } else if (clock() - sentAt >= QUIET_MS) {
        await writer.write(encodeEvent("alive", clock()));
        sentAt = clock();
      }
      await new Promise((resolve) => void setTimeout(resolve, READ_MS));
      // A restarting object doesn't end the stream: the console shows the age of its view.
      view = await readView(c, index, clock).catch(() => null);
      if (clock() - checkedAt >= CHECK_MS) {
        checkedAt = clock();
        if (!(await isStillAdmin(c))) break;
      }
    }
    await writer.close();
  } catch {
    // The console was closed.
  }
}

export function fleetHistory(index: FleetIndex) {
  return async function answerHistory(c: Context<EdgeEnv>): Promise<Response> {
    const query = readAdminQuery(c.req.url, HistoryQuery);
    if (!query.ok) throw new RefusedError(query.refusal);
    const { name } = boxNamed(index, query.value.box);
    return c.json(await fleetObject(c.env).history(name, query.value.minutes));
  };
}

export function drainBox(index: FleetIndex) {
  return async function answerDrain(c: Context<EdgeEnv>): Promise<Response> {
    return sendCommand(c, index, { t: "drain" }, "box.drain");
  };
}

export function resumeBox(index: FleetIndex) {
  return async function answerResume(c: Context<EdgeEnv>): Promise<Response> {
    return sendCommand(c, index, { t: "resume" }, "box.resume");
  };
}

export function restartServer(index: FleetIndex) {
  return async function answerRestart(c: Context<EdgeEnv>): Promise<Response> {
    const box = boxNamed(index, c.req.param("box") ?? "");
    const text = c.req.param("port") ?? "";
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (!box.servers.some((server) => server.port === port)) {
      const ports = box.servers.map((server) => server.port).join(", ");
      throw new RefusedError({
        code: "not_found",
        message: `${box.name} has no server on that port. Its ports are: ${ports}.`,
        param: "port",
      });
    }
    await audit(c, "server.restart", `${box.name}:${port}`);
    const { agents, end } = await fleetObject(c.env).restart(box.name, port, c.var.requestId);
    if (agents === 0) throw new RefusedError(notLinked(box.name));
    return answerEnd(c, { box: box.name, port, agents }, end);
  };
}

interface Restarted {
  readonly box: string;
  readonly port: number;
  readonly agents: number;
}

/** 200: restarted and ready. 202: the end isn't known yet, or it isn't ready yet; `text` says where to look. */
function answerEnd(c: Context<EdgeEnv>, restarted: Restarted, end: RestartEnd | null): Response {
  if (end === null) {
    const text = `${restarted.box}'s agent received the command but hasn't reported its outcome`;
    const advice = `\`isha status\` shows the server's state; on ${restarted.box}: \`pm2 status\`, \`pm2 logs isha-agent\`.`;
    return c.json({ ...restarted, outcome: null, tookMs: null, text, advice }, 202);
  }
  const { outcome, text, advice } = end;
  if (outcome === "ready" || outcome === "not-ready")
    return c.json({ ...restarted, ...end }, outcome === "ready" ? 200 : 202);
  throw new RefusedError({
    code: outcome === "too-soon" ? "model_loading" : "upstream_failed",
    message: `${text}. ${advice}`,
    internal: `restart of ${restarted.port} on ${restarted.box}: ${outcome}`,
    ...(outcome === "too-soon" ? { retryAfterMs: 10_000 } : {}),
  });
}

export function testAlerts() {
  return async function answerTest(c: Context<EdgeEnv>): Promise<Response> {
    await audit(c, "alerts.test", "webhook");
    const outcome = await fleetObject(c.env).testAlert();
    if (outcome === "delivered") return c.json({ delivered: true });
    throw new RefusedError(outcome === "unset" ? NO_WEBHOOK : WEBHOOK_FAILED);
  };
}

/** Writes the audit entry, then sends a command to a box's agents. */
async function sendCommand(
  c: Context<EdgeEnv>,
  index: FleetIndex,
  frame: Exclude<BoxCommand, { t: "restart" }>,
  action: AuditEntry["action"],
): Promise<Response> {
  const { name } = boxNamed(index, c.req.param("box") ?? "");
  await audit(c, action, name);
  const agents = await fleetObject(c.env).command(name, frame);
  // An agent that dials later receives it then.
  return c.json({ box: name, agents }, 202);
}

function boxNamed(index: FleetIndex, name: string): Box {
  const box = index.boxes.find((candidate) => candidate.name === name);
  if (box !== undefined) return box;
  const names = index.boxes.map((candidate) => candidate.name).join(", ");
  throw new RefusedError({
    code: "not_found",
    message: `The fleet has no such box. Its boxes are: ${names}.`,
    param: "box",
  });
}

/**
 * Must run before the action: a command that then can't be delivered is in the audit too, and no executed command is
 * missing from it.
 */
async function audit(c: Context<EdgeEnv>, action: AuditEntry["action"], target: string): Promise<void> {
  await registryObject(c.env).note({
    at: new Date().toISOString(),
    actor: c.var.principal.keyId,
    action,
    target,
    detail: {},
    requestId: c.var.requestId,
  });
}

function notLinked(box: string): Refusal {
  return {
    code: "no_box",
    message: `${box}'s agent isn't linked, so it can't receive the command. On the box: \`pm2 status\`, \`pm2 logs isha-agent\`.`,
    retryAfterMs: 5_000,
  };
}

const NO_WEBHOOK: Refusal = {
  code: "invalid_request",
  message:
    "ALERT_WEBHOOK_URL is not set, so alarms reach no operator. Set it: npx wrangler secret put ALERT_WEBHOOK_URL",
};

const WEBHOOK_FAILED: Refusal = {
  code: "upstream_failed",
  message:
    "The address in ALERT_WEBHOOK_URL didn't accept the message: it refused it, or didn't answer within eight seconds. Check the address and the program that listens there.",
};
