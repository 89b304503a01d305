// The agent's HTTP server: who may speak, which route, one renderer for what goes wrong. Calls take the path
// straight through node:http; what operators and the edge ask beside them goes through itty-router.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { IttyRouter } from "itty-router";
import type { Logger } from "pino";
import { AGENT_HEADER, decodeCall, DIALECT_PATHS, TOKEN_HEADER, type Call } from "../shared/call-headers.ts";
import type { Refusal } from "../shared/errors.ts";
import type { BoxHealth } from "../shared/health.ts";
import { AGENT_KEEP_ALIVE_MS, MAX_BODY_BYTES, MAX_HEADER_BYTES } from "../shared/limits.ts";
import { sendRefusal } from "./answer.ts";
import { CLIENT_LEFT, forwardCall } from "./forward.ts";
import type { NotRetained, RetainedBodies, RetainedBody } from "./retained-bodies.ts";
import type { Upstream } from "./upstreams.ts";

export interface AgentParts {
  readonly box: string;
  readonly upstreams: ReadonlyMap<number, Upstream>;
  readonly isEdge: (token: string | undefined) => boolean;
  readonly health: () => Promise<BoxHealth>;
  readonly bodies: RetainedBodies;
  readonly log: Logger;
  /** Monotonic, milliseconds. */
  readonly clock: () => number;
}

/** Everything the agent answers: the dialects' paths for calls, and these. */
export function createAgentServer(parts: AgentParts): Server {
  const control = IttyRouter();
  // Says no more than which ports are up, so it needs no token: `npm start -- --real` and people use it.
  control.get("/healthz", parts.health);

  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: AGENT_KEEP_ALIVE_MS },
    (request, response) => {
      const path = request.url ?? "/";
      const served = CALL_PATHS.has(path)
        ? answerCall(parts, request, response)
        : answerControl(parts, control, request, response);
      served.catch((error: unknown) => {
        parts.log.error({ event: "internal", reason: error instanceof Error ? error.name : "thrown" });
        if (!response.writableEnded) sendRefusal(response, INTERNAL, about(parts, request, true));
      });
    },
  );
  // A slow header block must not outlive the connections that cloudflared keeps.
  server.headersTimeout = AGENT_KEEP_ALIVE_MS + 1_000;
  server.requestTimeout = 60_000;
  return server;
}

const CALL_PATHS: ReadonlySet<string> = new Set(Object.values(DIALECT_PATHS));

async function answerControl(
  parts: AgentParts,
  control: ReturnType<typeof IttyRouter>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? "/";
  // Two slashes would be read as a host's name.
  const answer: unknown = path.startsWith("//")
    ? undefined
    : await control.fetch({ method: request.method ?? "GET", url: `http://agent.invalid${path}` });
  if (answer === undefined) return sendRefusal(response, NO_ROUTE, about(parts, request, false));
  response.writeHead(200, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    [AGENT_HEADER]: parts.box,
  });
  response.end(JSON.stringify(answer));
}

async function answerCall(
  parts: AgentParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const arrived = parts.clock();
  const token = request.headers[TOKEN_HEADER];
  if (!parts.isEdge(typeof token === "string" ? token : undefined)) {
    return sendRefusal(response, NOT_THE_EDGE, about(parts, request, false));
  }
  if (request.method !== "POST") return sendRefusal(response, NO_ROUTE, about(parts, request, false));
  const decoded = decodeCall(request.headers);
  if (!decoded.ok) {
    const internal = `${decoded.header}: ${decoded.reason}`;
    parts.log.error({ event: "call-headers", reason: internal });
    return sendRefusal(response, { ...VERSION_SKEW, internal }, about(parts, request, false));
  }
  const { call } = decoded;
  const ending = new AbortController();
  // From here on: a body that trickles in counts too.
  const deadline = setTimeout(() => ending.abort(DEADLINE), call.deadlineMs);
  const onClose = (): void => ending.abort(CLIENT_LEFT);
  response.once("close", onClose);
  try {
    const body = await bodyInTime(parts, request, ending.signal);
    if ("code" in body) return sendRefusal(response, body, about(parts, request, false));
    try {
      const report = await forwardCall({
        call,
        body: body.bytes,
        response,
        box: parts.box,
        upstreams: parts.upstreams,
        signal: ending.signal,
        clock: parts.clock,
      });
      logCall(parts, call, { ...report, ms: Math.round(parts.clock() - arrived) });
    } finally {
      body.release();
    }
  } finally {
    clearTimeout(deadline);
    response.removeListener("close", onClose);
  }
}

/** The body, or why there is none: too large, no room, broken off, or the call ended before it had come. */
async function bodyInTime(
  parts: AgentParts,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<RetainedBody | Refusal> {
  const body = await parts.bodies.read(request, MAX_BODY_BYTES, signal);
  if (typeof body !== "string") return body;
  return signal.aborted ? (signal.reason as Refusal) : BODY_REFUSALS[body];
}

function logCall(
  parts: AgentParts,
  call: Call,
  report: Awaited<ReturnType<typeof forwardCall>> & { readonly ms: number },
): void {
  parts.log.info({
    event: "call",
    request_id: call.requestId,
    key: call.keyId,
    agent_type: call.agentType,
    wanted_port: call.wantedPort,
    port: report.port,
    stream: call.stream,
    outcome: report.outcome,
    queue_ms: report.queueMs,
    ms: report.ms,
    ...(report.refusal === null ? {} : { code: report.refusal.code, cause: report.refusal.internal }),
  });
}

function about(
  parts: AgentParts,
  request: IncomingMessage,
  started: boolean,
): { requestId: string; box: string; started: boolean } {
  const id = request.headers["x-isha-request-id"];
  return { requestId: typeof id === "string" ? id : "none", box: parts.box, started };
}

const INTERNAL: Refusal = {
  code: "internal",
  message: "The origin agent failed on this request. The request id finds it in the log.",
};
const NO_ROUTE: Refusal = { code: "not_found", message: "The origin agent has no such route." };
const NOT_THE_EDGE: Refusal = {
  code: "scope_missing",
  message: "This is the origin agent; it takes calls from its edge alone. Ask at the public address.",
};
const VERSION_SKEW: Refusal = {
  code: "internal",
  message: "Edge and origin agent are of versions that don't fit. Deploy the agents, then the edge.",
};
const BODY_REFUSALS: Readonly<Record<NotRetained, Refusal>> = {
  "too-large": {
    code: "body_too_large",
    message: `The body is larger than ${MAX_BODY_BYTES} bytes, the most one request may have.`,
  },
  "no-room": {
    code: "overloaded",
    message: "The box holds as many requests as it has memory for. Ask again in a second.",
    retryAfterMs: 1_000,
  },
  broken: CLIENT_LEFT,
};
const DEADLINE: Refusal = {
  code: "deadline_exceeded",
  message:
    "The call reached its deadline before its answer was whole. Ask for fewer tokens, or stream to keep what came.",
};
