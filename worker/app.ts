// The edge's route table: each path with its chain and its handler. Everything else here is wiring.
import type { Handler, Hono, MiddlewareHandler } from "hono";
import { HonoBase } from "hono/hono-base";
import { RegExpRouter } from "hono/router/reg-exp-router";
import { DIALECT_NAMES, DIALECTS } from "../shared/dialects.ts";
import type { FleetConfig } from "../shared/fleet.ts";
import { ANSWER_HEADERS } from "../shared/call-headers.ts";
import { MAX_BODIES_BYTES } from "../shared/limits.ts";
import { LINK_PATH } from "../shared/wire.ts";
import type { EdgeEnv } from "./context.ts";
import type { Bindings } from "./env.ts";
import { authenticate, limitAddress, type RouteAccess } from "./limits/authenticate.ts";
import { answerHeaders } from "./http/answer-headers.ts";
import { shareAcrossOrigins } from "./http/cors.ts";
import { BodyMemory } from "./http/body-memory.ts";
import { onError } from "./http/errors.ts";
import { httpsOnly } from "./http/https-only.ts";
import { methodNotAllowed, routeNotFound } from "./http/no-route.ts";
import { Limiter } from "./limits/limiter.ts";
import { RATE_HEADERS } from "./limits/rate-headers.ts";
import { PREFETCH_ADMIN, prefetchCall } from "./inference/prefetch.ts";
import { settings } from "./http/settings.ts";
import { fleetHealth } from "./fleet/box-health.ts";
import { indexFleet } from "./fleet/fleet-index.ts";
import { SnapshotCache } from "./fleet/snapshot-cache.ts";
import {
  drainBox,
  fleetEvents,
  fleetHistory,
  restartServer,
  resumeBox,
  showFleet,
  testAlerts,
} from "./fleet/admin-routes.ts";
import { changeKey, createKey, listKeys, revokeKey, rotateKey, showAudit, showKey } from "./keys/routes.ts";
import { RefusalLog } from "./failures/refusal-log.ts";
import { showRequest } from "./failures/route.ts";
import { showUsage } from "./usage/route.ts";
import { MAX_TOKENS_HEADER, modelCall } from "./inference/call-routes.ts";
import { consoleFile, consolePage, toConsole } from "./pages/console.ts";
import { docsFile, guide, openApi, toDocs } from "./pages/docs.ts";
import { healthz, livez } from "./fleet/health-routes.ts";
import { agentLink } from "./fleet/link-route.ts";
import { listModels, showModel } from "./inference/models.ts";
import { placeObjects } from "./stubs.ts";

type Chain = readonly (MiddlewareHandler<EdgeEnv> | Handler<EdgeEnv>)[];
type Method = "GET" | "POST" | "PATCH" | "DELETE";
type Route = readonly [method: Method, path: string, chain: Chain, handler: Handler<EdgeEnv>];

/** Headers of `/v1` answers that pages of other sites may read. */
const EXPOSED_HEADERS = [
  ...ANSWER_HEADERS,
  ...RATE_HEADERS,
  "x-request-id",
  "x-client-request-id",
  "request-id",
  "warning",
  MAX_TOKENS_HEADER,
];

/** Paths that pages of other sites may call. */
const SHARED_PATHS = [
  "/v1/*",
  ...DIALECT_NAMES.map((dialect) => DIALECTS[dialect].path).filter((path) => !path.startsWith("/v1/")),
];

/** Creates the Worker for a fleet. */
export function createWorker(fleet: FleetConfig): ExportedHandler<Bindings> {
  const app = createApp(fleet);
  return { fetch: (request, bindings, context) => app.fetch(request, bindings, context) };
}

/** The routes of a fleet; a test compares them with /openapi.json. */
export function createApp(fleet: FleetConfig): Hono<EdgeEnv> {
  placeObjects(fleet.boxes[0]?.locationHint);
  const index = indexFleet(fleet);
  const clock = (): number => Date.now();
  const limiter = new Limiter(fleet, clock);
  const snapshots = new SnapshotCache(clock);
  const memory = new BodyMemory(MAX_BODIES_BYTES, clock);
  const health = fleetHealth(fleet.boxes, snapshots, clock);

  // Each chain runs from left to right.
  const edge: Chain = [answerHeaders(new RefusalLog(clock)), httpsOnly(), settings(fleet.boxes)];
  const anyone: Chain = [limitAddress(limiter)];
  const admit = (access: RouteAccess): Chain => [authenticate(fleet, limiter, clock, access)];
  const infer = admit({ scope: "infer", isModelCall: false, prefetch: null });
  const call = admit({
    scope: "infer",
    isModelCall: true,
    prefetch: prefetchCall(snapshots, memory, fleet, clock),
  });
  const operator = admit({ scope: "admin", isModelCall: false, prefetch: null });
  const writer = admit({ scope: "admin", isModelCall: false, prefetch: PREFETCH_ADMIN });

  const routes: readonly Route[] = [
    ...DIALECT_NAMES.map((dialect): Route => [
      "POST",
      DIALECTS[dialect].path,
      call,
      modelCall(dialect, index, snapshots),
    ]),
    ["GET", "/v1/models", infer, listModels(index, health)],
    ["GET", "/v1/models/:id", infer, showModel(index, health)],
    ["GET", "/healthz", anyone, healthz(index, health)],
    ["GET", "/livez", anyone, livez()],
    ["GET", "/docs", anyone, guide()],
    ["GET", "/docs/:file", anyone, docsFile()],
    ["GET", "/openapi.json", anyone, openApi()],
    ["GET", "/", anyone, toDocs()],
    ["POST", "/admin/keys", writer, createKey(index, clock)],
    ["GET", "/admin/keys", operator, listKeys(fleet, clock)],
    ["GET", "/admin/keys/:id", operator, showKey(fleet, clock)],
    ["PATCH", "/admin/keys/:id", writer, changeKey(index, clock)],
    ["DELETE", "/admin/keys/:id", operator, revokeKey(fleet, clock)],
    ["POST", "/admin/keys/:id/rotate", writer, rotateKey(fleet)],
    ["GET", "/admin/audit", operator, showAudit()],
    ["GET", "/admin/usage", operator, showUsage(clock)],
    ["GET", "/admin/requests/:id", operator, showRequest()],
    ["GET", "/admin/fleet", operator, showFleet(index, clock)],
    ["GET", "/admin/fleet/events", operator, fleetEvents(index, clock)],
    ["GET", "/admin/fleet/history", operator, fleetHistory(index)],
    ["POST", "/admin/boxes/:box/drain", operator, drainBox(index)],
    ["POST", "/admin/boxes/:box/resume", operator, resumeBox(index)],
    ["POST", "/admin/boxes/:box/servers/:port/restart", operator, restartServer(index)],
    ["POST", "/admin/alerts/test", operator, testAlerts()],
    ["GET", "/console", anyone, consolePage()],
    ["GET", "/console/", anyone, toConsole()],
    ["GET", "/console/:file", anyone, consoleFile()],
    ["GET", LINK_PATH, anyone, agentLink(fleet)],
  ];

  // Without the routers that this table doesn't need: the Worker's script is parsed at each start of an isolate.
  const app = new HonoBase<EdgeEnv>({ router: new RegExpRouter() });
  const share = shareAcrossOrigins(fleet.cors.v1, EXPOSED_HEADERS);
  const register = (method: string, path: string, chain: Chain, handler: Handler<EdgeEnv>): void => {
    for (const step of [...chain, handler]) app.on(method, [path], step);
  };
  for (const step of edge) app.use("*", step);
  // A preflight sends no key, but counts against its address.
  for (const path of SHARED_PATHS) {
    register("OPTIONS", path, anyone, share);
    app.use(path, share);
  }
  for (const [method, path, chain, handler] of routes) register(method, path, chain, handler);
  for (const path of new Set(routes.map(([, path]) => path))) {
    const methods = routes.filter(([, other]) => other === path).map(([method]) => method);
    register("ALL", path, anyone, methodNotAllowed(path, methods));
  }
  register("ALL", "*", anyone, routeNotFound(routes.map(([, path]) => path)));
  app.onError(onError);
  return app;
}
