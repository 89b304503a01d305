// The agent's HTTP server: who may speak, which route, one renderer for what goes wrong. Calls take the path
// straight through node:http; what operators and the edge ask beside them goes through itty-router.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { IttyRouter } from "itty-router";
import type { Logger } from "pino";
import { AGENT_HEADER, DIALECT_PATHS, callDecoder, TOKEN_HEADER, type Call } from "../shared/call-headers.ts";
import type { Refusal } from "../shared/errors.ts";
import { AGENT_KEEP_ALIVE_MS, CALL_DEADLINE_MS, MAX_BODY_BYTES, MAX_HEADER_BYTES } from "../shared/limits.ts";
import { thrownName } from "../shared/thrown-name.ts";
import { ClientAnswer } from "./answers/client-answer.ts";
import { CLIENT_LEFT, type CallObserver, type CallReport } from "./calls/report.ts";
import { runCall, type CallInput } from "./calls/run-call.ts";
import { IdleConnections } from "./idle-connections.ts";
import type { RetainedBodies, RetainedBody, NotRetained } from "./calls/request-bodies.ts";

// An import of it would load all that it can name, its own fetch and WebSocket too: 14 MB.
const { createServer } = process.getBuiltinModule("node:http");

/** How often silences are looked for, milliseconds: a comment a second is then at most a quarter late. */
const TICK_MS = 250;

/** Kinds of call whose headers are remembered as checked: keys × agent types × what they ask for, a few hundred bytes each. */
const CALL_KINDS = 1_000;

/** How long an agent may drain, milliseconds: it must be over before PM2's kill time-out. */
export const DRAIN_MS = CALL_DEADLINE_MS + 5_000;

/** So long before that it takes nothing more from connections of before, whose clients can't know, milliseconds. */
const DRAIN_CLOSES_MS = 60_000;

/** What a route besides the calls answers with. */
export interface ControlAnswer {
  readonly contentType: string;
  readonly body: string;
}

export interface ServerParts extends Pick<
  CallInput,
  "box" | "dispatch" | "budget" | "modelOf" | "countTokens" | "clock"
> {
  readonly isEdge: (token: string | undefined) => boolean;
  readonly bodies: RetainedBodies;
  /** `GET` routes and what they answer. */
  readonly control: Readonly<Record<string, () => Promise<ControlAnswer>>>;
  /** Those that answer only who has the edge's token. */
  readonly guarded: Readonly<Record<string, () => Promise<ControlAnswer>>>;
  /** An operator holds the box: it takes no further calls, and goes on living. */
  readonly isDrained: () => boolean;
  /** Books a call's dispatch; what it gives back books its end, once. */
  readonly onDispatch: (
    call: Call,
    port: number,
    bodyBytes: number,
  ) => (report: CallReport, ms: number) => void;
  /** Run in order at the end of every call. */
  readonly observers: readonly CallObserver[];
  readonly log: Logger;
}

export interface AgentServer {
  readonly server: Server;
  /** Takes no further calls; those that run go on. */
  drain(): void;
  readonly draining: boolean;
  /** Closes connections that have had nothing to do for so long, milliseconds. */
  closeIdle(idleForMs: number): void;
  /** Until the calls that have begun are over and booked: some are counted after their client has all of it. */
  booked(): Promise<unknown>;
}

/** Everything the agent answers: the dialects' paths for calls, and its control routes. */
export function createAgentServer(parts: ServerParts): AgentServer {
  const control = IttyRouter();
  for (const [path, answer] of Object.entries(parts.control)) control.get(path, answer);
  for (const [path, answer] of Object.entries(parts.guarded)) {
    control.get(path, ({ isEdge }: ControlRequest) => (isEdge ? answer() : NOT_THE_EDGE));
  }
  const calls = new Calls(parts);

  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: AGENT_KEEP_ALIVE_MS },
    function answerRequest(request, response) {
      const path = request.url ?? "/";
      const served = CALL_PATHS.has(path)
        ? calls.answer(request, response)
        : answerControl(parts, control, request, response);
      served.catch((error: unknown) => {
        parts.log.error({ event: "internal", reason: thrownName(error) });
        refuse(parts, request, response, INTERNAL);
      });
    },
  );
  // A slow header block must not outlive the connections that cloudflared keeps.
  server.headersTimeout = AGENT_KEEP_ALIVE_MS + 1_000;
  server.requestTimeout = 60_000;
  server.once("close", () => calls.stop());
  const connections = new IdleConnections(server, parts.clock);
  return {
    server,
    drain: () => calls.drain(),
    closeIdle: (idleForMs) => connections.close(idleForMs),
    get draining() {
      return calls.draining;
    },
    booked: () => calls.booked(),
  };
}

interface ControlRequest {
  readonly method: string;
  readonly url: string;
  readonly isEdge: boolean;
}

const CALL_PATHS: ReadonlySet<string> = new Set(Object.values(DIALECT_PATHS));

async function answerControl(
  parts: ServerParts,
  control: ReturnType<typeof IttyRouter>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? "/";
  // Two slashes would be read as a host's name.
  const asked: ControlRequest = {
    method: request.method ?? "GET",
    url: `http://agent.invalid${path}`,
    isEdge: isFromEdge(parts, request),
  };
  const answer = path.startsWith("//")
    ? undefined
    : ((await control.fetch(asked)) as ControlAnswer | Refusal | undefined);
  if (answer === undefined) return refuse(parts, request, response, NO_ROUTE);
  if ("code" in answer) return refuse(parts, request, response, answer);
  response.writeHead(200, {
    "content-type": answer.contentType,
    "cache-control": "no-store",
    [AGENT_HEADER]: parts.box,
  });
  response.end(answer.body);
}

function isFromEdge(parts: ServerParts, request: IncomingMessage): boolean {
  const token = request.headers[TOKEN_HEADER];
  return parts.isEdge(typeof token === "string" ? token : undefined);
}

/** The calls that are being answered. */
class Calls {
  readonly #parts: ServerParts;
  readonly #open = new Map<ClientAnswer, Promise<void>>();
  readonly #decode = callDecoder(CALL_KINDS);
  readonly #timer: NodeJS.Timeout;
  #drainingSince: number | null = null;

  constructor(parts: ServerParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => {
      const now = parts.clock();
      for (const answer of this.#open.keys()) answer.tick(now);
    }, TICK_MS);
    this.#timer.unref();
  }

  drain(): void {
    this.#drainingSince ??= this.#parts.clock();
  }

  get draining(): boolean {
    return this.#drainingSince !== null;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  booked(): Promise<unknown> {
    return Promise.allSettled(this.#open.values());
  }

  /** What is left of the time for draining; null while it doesn't drain. */
  #drainLeftMs(): number | null {
    return this.#drainingSince === null ? null : this.#drainingSince + DRAIN_MS - this.#parts.clock();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = this.#parts;
    if (!isFromEdge(parts, request)) return refuse(parts, request, response, NOT_THE_EDGE);
    if (request.method !== "POST") return refuse(parts, request, response, NO_ROUTE);
    if (parts.isDrained()) return refuse(parts, request, response, HELD);
    const left = this.#drainLeftMs();
    if (left !== null) {
      // The connection would bring its next call here too, instead of to the agent that takes over.
      response.setHeader("connection", "close");
      if (left < DRAIN_CLOSES_MS) return refuse(parts, request, response, DRAINING);
    }
    const decoded = this.#decode(request.headers);
    if (!decoded.ok) {
      const internal = `${decoded.header}: ${decoded.reason}`;
      parts.log.error({ event: "call-headers", reason: internal });
      return refuse(parts, request, response, { ...VERSION_SKEW, internal });
    }
    const { call: asked } = decoded;
    const call = left === null ? asked : { ...asked, deadlineMs: Math.min(asked.deadlineMs, left) };
    const leave = parts.dispatch.admit(call);
    if (typeof leave !== "function") return refuse(parts, request, response, leave);
    // Some calls are counted and booked after their client has all of it; it may ask again before that.
    response.once("finish", leave);
    const answer = new ClientAnswer(response, call, parts.box);
    const served = this.#serve(call, answer, request, response);
    this.#open.set(answer, served);
    try {
      await served;
    } finally {
      leave();
      this.#open.delete(answer);
    }
  }

  async #serve(
    call: Call,
    answer: ClientAnswer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const parts = this.#parts;
    const arrivedAt = parts.clock();
    const ending = new AbortController();
    // From here on: a body that trickles in counts too.
    const deadline = setTimeout(() => ending.abort(DEADLINE), call.deadlineMs);
    const onClose = (): void => {
      // After an answer's end it is no leaving, and an abort costs as much as it says.
      if (!response.writableFinished) ending.abort(CLIENT_LEFT);
    };
    response.once("close", onClose);
    try {
      const body = await bodyInTime(parts, request, ending.signal);
      if ("code" in body) return answer.fail(body, false);
      let booked: ((report: CallReport, ms: number) => void) | null = null;
      try {
        const { box, dispatch, budget, modelOf, countTokens, clock } = parts;
        const report = await runCall({
          call,
          body: body.bytes,
          response,
          answer,
          box,
          dispatch,
          budget,
          modelOf,
          countTokens,
          signal: ending.signal,
          clock,
          onDispatch: (port) => {
            booked ??= parts.onDispatch(call, port, body.bytes.length);
          },
        });
        const ms = parts.clock() - arrivedAt;
        (booked as ((report: CallReport, ms: number) => void) | null)?.(report, ms);
        for (const observe of parts.observers) observe(call, report, ms);
      } finally {
        body.release();
      }
    } finally {
      clearTimeout(deadline);
      response.removeListener("close", onClose);
    }
  }
}

/** The body, or why there is none: too large, no room, broken off, or the call ended before it had come. */
async function bodyInTime(
  parts: ServerParts,
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<RetainedBody | Refusal> {
  const body = await parts.bodies.read(request, MAX_BODY_BYTES, signal);
  if (typeof body !== "string") return body;
  return signal.aborted ? (signal.reason as Refusal) : BODY_REFUSALS[body];
}

/** Refuses what never became a call. */
function refuse(
  parts: ServerParts,
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const id = request.headers["x-isha-request-id"];
  const requestId = typeof id === "string" ? id : "none";
  new ClientAnswer(response, { requestId, stream: false }, parts.box).fail(refusal, false);
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
const DRAINING: Refusal = {
  code: "draining",
  message: "This box is being restarted and takes no further calls. Ask again in a few seconds.",
  retryAfterMs: 2_000,
};
const HELD: Refusal = {
  code: "draining",
  message: "This box has been taken out of service and takes no further calls. Ask again in a minute.",
  retryAfterMs: 60_000,
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
