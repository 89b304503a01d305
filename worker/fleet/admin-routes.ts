// /admin/fleet: the live fleet for operators and the console, its history, and what they may order of a box.
import type { Context } from "hono";
import { RefusedError, type Refusal } from "../../shared/errors.ts";
import { portsByBox, type Box } from "../../shared/fleet.ts";
import { HistoryQuery } from "../../shared/fleet-view.ts";
import type { AuditEntry } from "../../shared/keys.ts";
import type { EdgeFrame } from "../../shared/wire.ts";
import type { EdgeEnv } from "../context.ts";
import { readAdminQuery } from "../http/admin-input.ts";
import type { FleetIndex } from "./fleet-index.ts";
import { fleetView, isNews } from "./fleet-view.ts";
import { keyObject, fleetObject, registryObject } from "../stubs.ts";

type Clock = () => number;

/** How often a console's stream looks, milliseconds: with an agent's look and snapshot a change shows within two seconds. */
const LOOK_MS = 500;

/** How often its key is looked at, milliseconds: a revoked one sees nothing a second later. */
const CHECK_MS = 1_000;

/** A comment after so long without news, milliseconds: through Workers a client that left is noticed only at a write. */
const QUIET_MS = 5_000;

/** How long one stream goes on, milliseconds; the console dials again, and its key is looked at anew. */
const STREAM_MS = 5 * 60_000;

export function showFleet(index: FleetIndex, clock: Clock) {
  return async function answerFleet(c: Context<EdgeEnv>): Promise<Response> {
    return c.json(await look(c, index, clock));
  };
}

/** Server-sent events: `fleet` with the whole view whenever it changed. */
export function fleetEvents(index: FleetIndex, clock: Clock) {
  return async function answerEvents(c: Context<EdgeEnv>): Promise<Response> {
    const first = await look(c, index, clock);
    const headers = { "content-type": "text/event-stream", "cache-control": "no-store, no-transform" };
    // Nobody would read on.
    if (c.req.method === "HEAD") return new Response(null, { headers });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    c.executionCtx.waitUntil(tellOn(c, index, clock, writable.getWriter(), first));
    return new Response(readable, { headers });
  };
}

type View = ReturnType<typeof fleetView>;

/** Whether the key is what it was when the stream began. One that no object has a record of can't be revoked. */
async function mayLook(c: Context<EdgeEnv>): Promise<boolean> {
  try {
    const key = await keyObject(c.env, c.get("principal").keyId).show();
    return key === null || (key.state === "active" && key.scopes.includes("admin"));
  } catch {
    // The object restarts: asked again in a second.
    return true;
  }
}

async function look(c: Context<EdgeEnv>, index: FleetIndex, clock: Clock): Promise<View> {
  const names = index.boxes.map(({ name }) => name);
  const words = await fleetObject(c.env).words(names, portsByBox(index.fleet));
  return fleetView(words, index, clock());
}

async function tellOn(
  c: Context<EdgeEnv>,
  index: FleetIndex,
  clock: Clock,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  first: View,
): Promise<void> {
  const encoder = new TextEncoder();
  const until = clock() + STREAM_MS;
  let told: View | null = null;
  let toldAt = -Infinity;
  let checkedAt = clock();
  let view: View | null = first;
  try {
    while (clock() < until) {
      if (view !== null && (told === null || isNews(told, view))) {
        await writer.write(encoder.encode(`event: fleet\ndata: ${JSON.stringify(view)}\n\n`));
        told = view;
        toldAt = clock();
      } else if (clock() - toldAt >= QUIET_MS) {
        await writer.write(encoder.encode(`event: alive\ndata: ${clock()}\n\n`));
        toldAt = clock();
      }
      await new Promise((resolve) => void setTimeout(resolve, LOOK_MS));
      // An object that restarts is no reason to end: the console says how old its words are.
      view = await look(c, index, clock).catch(() => null);
      if (clock() - checkedAt >= CHECK_MS) {
        checkedAt = clock();
        if (!(await mayLook(c))) break;
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
    return order(c, index, { t: "drain" }, "box.drain");
  };
}

export function resumeBox(index: FleetIndex) {
  return async function answerResume(c: Context<EdgeEnv>): Promise<Response> {
    return order(c, index, { t: "resume" }, "box.resume");
  };
}

export function restartServer(index: FleetIndex) {
  return async function answerRestart(c: Context<EdgeEnv>): Promise<Response> {
    const box = boxNamed(index, c.req.param("box") ?? "");
    const text = c.req.param("port") ?? "";
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (port === null || !box.servers.some((server) => server.port === port)) {
      const ports = box.servers.map((server) => server.port).join(", ");
      throw new RefusedError({
        code: "not_found",
        message: `${box.name} has no server on that port. There are: ${ports}.`,
        param: "port",
      });
    }
    return order(c, index, { t: "restart", port }, "server.restart");
  };
}

export function testAlerts() {
  return async function answerTest(c: Context<EdgeEnv>): Promise<Response> {
    await audit(c, "alerts.test", "webhook");
    const outcome = await fleetObject(c.env).testAlert();
    if (outcome === "delivered") return c.json({ delivered: true });
    throw new RefusedError(outcome === "unset" ? NO_WEBHOOK : WEBHOOK_FAILED);
  };
}

/** Notes who wants it, and tells a box's agents. */
async function order(
  c: Context<EdgeEnv>,
  index: FleetIndex,
  frame: Extract<EdgeFrame, { t: "drain" | "resume" | "restart" }>,
  action: AuditEntry["action"],
): Promise<Response> {
  const { name } = boxNamed(index, c.req.param("box") ?? "");
  await audit(c, action, "port" in frame ? `${name}:${frame.port}` : name);
  const told = await fleetObject(c.env).order(name, frame);
  if (told === 0 && frame.t === "restart") throw new RefusedError(notLinked(name));
  // A box that dials later hears of it then.
  return c.json({ box: name, told }, 202);
}

function boxNamed(index: FleetIndex, name: string): Box {
  const box = index.boxes.find((candidate) => candidate.name === name);
  if (box !== undefined) return box;
  const names = index.boxes.map((candidate) => candidate.name).join(", ");
  throw new RefusedError({
    code: "not_found",
    message: `The fleet has no such box. There are: ${names}.`,
    param: "box",
  });
}

/**
 * To be called before what it notes is done: an order that then can't be delivered is in the audit as well, and one
 * that was done is never missing from it.
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
    message: `${box}'s agent isn't linked, so it can't be told. On the box: \`pm2 status\`, \`pm2 logs isha-agent\`.`,
    retryAfterMs: 5_000,
  };
}

const NO_WEBHOOK: Refusal = {
  code: "invalid_request",
  message:
    "No ALERT_WEBHOOK_URL is set, so alarms reach nobody. Set it: npx wrangler secret put ALERT_WEBHOOK_URL",
};

const WEBHOOK_FAILED: Refusal = {
  code: "upstream_failed",
  message:
    "The address in ALERT_WEBHOOK_URL didn't take the message: it refused it, or didn't answer in eight seconds. Look at the address and at what listens there.",
};
