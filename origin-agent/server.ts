// Serves HTTP: checks the edge's token, chooses the route, and renders errors in one place. Calls go directly through
// node:http; the control routes for operators and the edge go through itty-router.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { IttyRouter } from "itty-router";
import type { Logger } from "pino";
import { AGENT_HEADER, callDecoder, TOKEN_HEADER, type Call } from "../shared/call-headers.ts";
import { DIALECT_NAMES, DIALECTS, dialectOf } from "../shared/dialects.ts";
import { AGENT_KEEP_ALIVE_MS, CALL_DEADLINE_MS, MAX_BODY_BYTES, MAX_HEADER_BYTES } from "../shared/limits.ts";
import { thrownName, type Refusal } from "../shared/errors.ts";
import { ClientAnswer } from "./answers/client-answer.ts";
import { answerFormat } from "./answers/dialects.ts";
import type { AnswerFormat } from "./answers/format.ts";
import { Booking, type BookEnd, type BookStart } from "./calls/booking.ts";
import { CLIENT_LEFT, type CallObserver } from "./calls/report.ts";
import { runCall, type CallInput } from "./calls/run-call.ts";
import { isLocal } from "./edge-token.ts";
import { IdleConnections } from "./idle-connections.ts";
import { CallEnding, type EndSignal } from "./servers/end-signal.ts";
import type { RetainedBodies, RetainedBody, NotRetained } from "./calls/request-bodies.ts";

// An `import` would also load node:http's fetch and WebSocket: 14 MB.
const { createServer } = process.getBuiltinModule("node:http");

/** How often answers are checked for silence: a comment due each second is then at most 250 ms late. */
const TICK_MS = 250;

/** Size of the cache of checked call headers: keys × agent types × request kinds, a few hundred bytes each. */
const CALL_KINDS = 1_000;

/** How long an agent may drain; it must end before PM2's kill timeout. */
export const DRAIN_MS = CALL_DEADLINE_MS + 5_000;

/** This long before the drain ends, the agent also refuses calls on existing connections. */
const DRAIN_CLOSES_MS = 60_000;

/** The answer of a control route. */
export interface ControlAnswer {
  readonly contentType: string;
  readonly body: string;
}

export interface ServerParts extends Pick<
  CallInput,
  "box" | "dispatch" | "budget" | "poisoned" | "modelOf" | "countTokens" | "clock"
> {
  readonly isEdge: (token: string | undefined) => boolean;
  readonly bodies: RetainedBodies;
  /** `GET` routes for any client. */
  readonly control: Readonly<Record<string, () => Promise<ControlAnswer>>>;
  /** `GET` routes for the edge, by its token, and for programs on this machine. */
  readonly guarded: Readonly<Record<string, () => Promise<ControlAnswer>>>;
  /** Whether an operator has drained the box: it accepts no new calls but keeps running. */
  readonly isDrained: () => boolean;
  readonly book: (call: Call, ...start: Parameters<BookStart>) => BookEnd;
  /** Run in order at the end of every call. */
  readonly observers: readonly CallObserver[];
  readonly log: Logger;
}

export interface AgentServer {
  readonly server: Server;
  /** Stops accepting calls; running calls continue. */
  drain(): void;
  readonly draining: boolean;
  /** Closes connections that have been idle for at least `idleForMs`. */
  closeIdle(idleForMs: number): void;
  /** Resolves when all calls so far have ended and been booked; some are counted after the client has its answer. */
  booked(): Promise<unknown>;
}

/** Creates the server for all routes: the dialects' paths for calls, and the control routes. */
export function createAgentServer(parts: ServerParts): AgentServer {
  const control = IttyRouter();
  for (const [path, answer] of Object.entries(parts.control)) control.get(path, answer);
  for (const [path, answer] of Object.entries(parts.guarded)) {
    control.get(path, ({ isTrusted }: ControlRequest) => (isTrusted ? answer() : NOT_LOCAL));
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
  readonly isTrusted: boolean;
}

const CALL_PATHS: ReadonlySet<string> = new Set(DIALECT_NAMES.map((dialect) => DIALECTS[dialect].path));

async function answerControl(
  parts: ServerParts,
  control: ReturnType<typeof IttyRouter>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? "/";
  // A path that begins with two slashes would be parsed as a host name.
  const controlRequest: ControlRequest = {
    method: request.method ?? "GET",
    url: `http://agent.invalid${path}`,
    isTrusted: isFromEdge(parts, request) || isLocal(request.socket.remoteAddress, request.headers),
  };
  const answer = path.startsWith("//")
    ? undefined
    : ((await control.fetch(controlRequest)) as ControlAnswer | Refusal | undefined);
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

/** Accepts calls and keeps track of the open ones. */
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
      for (const answer of this.#open.keys()) this.#guarded(() => answer.tick(now));
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

  /** A fault in one step is logged; the steps after it run all the same. */
  #guarded(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#parts.log.error({ event: "internal", reason: thrownName(error) });
    }
  }

  /** The time left for draining; null if the agent isn't draining. */
  #drainLeftMs(): number | null {
    return this.#drainingSince === null ? null : this.#drainingSince + DRAIN_MS - this.#parts.clock();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = this.#parts;
    if (!isFromEdge(parts, request)) return refuse(parts, request, response, NOT_THE_EDGE);
    if (request.method !== "POST") return refuse(parts, request, response, NO_ROUTE);
    if (parts.isDrained()) return refuse(parts, request, response, BOX_DRAINED);
    const left = this.#drainLeftMs();
    if (left !== null) {
      // Otherwise the client would send its next call here too, and not to the agent that takes over.
      response.setHeader("connection", "close");
      if (left < DRAIN_CLOSES_MS) return refuse(parts, request, response, DRAINING);
    }
    const decoded = this.#decode(request.headers);
    const format = decoded.ok ? formatOn(request.url, decoded.call) : null;
    if (!decoded.ok || format === null) {
      const internal = decoded.ok
        ? "the call's dialect, format or stream doesn't fit its path"
        : `${decoded.header}: ${decoded.reason}`;
      parts.log.error({ event: "call-headers", reason: internal });
      return refuse(parts, request, response, { ...VERSION_SKEW, internal });
    }
    const call =
      left === null ? decoded.call : { ...decoded.call, deadlineMs: Math.min(decoded.call.deadlineMs, left) };
    const release = parts.dispatch.admit(call);
    if (typeof release !== "function") return refuse(parts, request, response, release);
    // Some calls are counted and booked after the client has its answer; it may send the next call before that.
    response.on("finish", release);
    const answer = new ClientAnswer(response, call, parts.box);
    const served = this.#serve(call, format, answer, request, response);
    this.#open.set(answer, served);
    try {
      await served;
    } finally {
      release();
      this.#open.delete(answer);
    }
  }

  async #serve(
    call: Call,
    format: AnswerFormat,
    answer: ClientAnswer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const parts = this.#parts;
    const arrivedAt = parts.clock();
    const ending = new CallEnding();
    // The deadline includes the time that the body takes to arrive.
    const deadline = setTimeout(() => ending.abort(DEADLINE), call.deadlineMs);
    const onClose = (): void => {
      // After a finished answer the client may disconnect; an unneeded abort would cost time.
      if (!response.writableFinished) ending.abort(CLIENT_LEFT);
    };
    response.on("close", onClose);
    try {
      const body = await readBody(parts, request, ending);
      if ("code" in body) return answer.fail(body, false);
      const booking = new Booking((port, onStored) => parts.book(call, port, onStored));
      try {
        const { box, dispatch, budget, poisoned, modelOf, countTokens, clock } = parts;
        const report = await runCall({
          call,
          format,
          body: body.bytes,
          response,
          answer,
          box,
          dispatch,
          budget,
          poisoned,
          modelOf,
          countTokens,
          signal: ending,
          clock,
          booking,
        });
        const ms = parts.clock() - arrivedAt;
        booking.end(report, ms);
        for (const observe of parts.observers) this.#guarded(() => observe(call, report, ms));
      } finally {
        body.release();
      }
    } finally {
      clearTimeout(deadline);
      response.removeListener("close", onClose);
    }
  }
}

/** The format of a call's answer; null if the call doesn't belong to the path on which it came. */
function formatOn(path: string | undefined, call: Call): AnswerFormat | null {
  return path === DIALECTS[call.dialect].path ? answerFormat(call) : null;
}

/** Reads the body, or returns why there is none: too large, no room, broken off, or the call ended before it arrived. */
async function readBody(
  parts: ServerParts,
  request: IncomingMessage,
  signal: EndSignal,
): Promise<RetainedBody | Refusal> {
  const body = await parts.bodies.read(request, MAX_BODY_BYTES, signal);
  if (typeof body !== "string") return body;
  return signal.aborted ? (signal.reason as Refusal) : BODY_REFUSALS[body];
}

/** Refuses a request that didn't become a call. */
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
  const dialect = dialectOf(request.url ?? "") ?? "chat";
  new ClientAnswer(response, { requestId, dialect, stream: false }, parts.box).fail(refusal, false);
}

const INTERNAL: Refusal = {
  code: "internal",
  message: "The origin agent failed on this request. Search its log for the request id.",
};
const NO_ROUTE: Refusal = { code: "not_found", message: "The origin agent has no such route." };
const NOT_THE_EDGE: Refusal = {
  code: "scope_missing",
  message: "The origin agent accepts calls only from its edge. Use the service's public address.",
};
const NOT_LOCAL: Refusal = {
  code: "scope_missing",
  message: "The origin agent shows this only to its edge and to programs on its own machine.",
};
const VERSION_SKEW: Refusal = {
  code: "internal",
  message: "The edge and the origin agent have incompatible versions. Deploy the agents, then the edge.",
};
const DRAINING: Refusal = {
  code: "draining",
  message: "This box is being restarted and accepts no new calls. Try again in a few seconds.",
  retryAfterMs: 2_000,
};
const BOX_DRAINED: Refusal = {
  code: "draining",
  message: "This box has been taken out of service and accepts no new calls. Try again in a minute.",
  retryAfterMs: 60_000,
};
const BODY_REFUSALS: Readonly<Record<NotRetained, Refusal>> = {
  "too-large": {
    code: "body_too_large",
    message: `The body exceeds the limit of ${MAX_BODY_BYTES} bytes.`,
  },
  "no-room": {
    code: "overloaded",
    message: "The box has no memory left for further requests. Try again in a second.",
    retryAfterMs: 1_000,
  },
  broken: CLIENT_LEFT,
};
const DEADLINE: Refusal = {
  code: "deadline_exceeded",
  message:
    "The call reached its deadline before its answer was complete. Request fewer tokens, or use streaming to keep a partial answer.",
};
