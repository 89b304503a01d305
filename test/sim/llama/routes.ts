// The simulator's routes on one screen, and the order in which a request is looked at: loading, key, route.
import { chatCall, completionsCall, messagesCall, renderedChat, responsesCall } from "./requests.ts";
import { fromMessages, fromResponses } from "./bodies.ts";
import { readBody } from "./body.ts";
import { ApiError, invalid, notSupported, serverError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { misbehave } from "./faults.ts";
import { generate } from "./generate.ts";
import type { Call } from "./generate.ts";
import { models, props, slots } from "./info.ts";
import { toJson } from "./json.ts";
import { metrics } from "./metrics.ts";
import type { Body } from "./params.ts";
import type { Sim } from "./sim.ts";
import { pieces, promptPieces } from "./tokens.ts";
import { embeddings, rerank } from "./vectors.ts";

type Handler = (sim: Sim, exchange: Exchange) => void;

const ROUTES: Record<string, Handler> = {
  "GET /health": health,
  "GET /v1/health": health,
  "GET /models": (sim, exchange) => exchange.json(models(sim)),
  "GET /v1/models": (sim, exchange) => exchange.json(models(sim)),
  "GET /props": (sim, exchange) => exchange.json(props(sim)),
  "GET /slots": showSlots,
  "GET /metrics": showMetrics,
  "GET /v1/stream": replay,
  "POST /v1/chat/completions": generating(chatCall),
  "POST /chat/completions": generating(chatCall),
  "POST /v1/completions": generating(completionsCall),
  "POST /v1/responses": generating(responsesCall),
  "POST /v1/messages": generating(messagesCall),
  "POST /v1/messages/count_tokens": reading((sim, body) =>
    toJson({ input_tokens: promptPieces(renderedChat(sim, fromMessages(body)).prompt).length }),
  ),
  "POST /v1/chat/completions/input_tokens": reading((sim, body) => counted(sim, body)),
  "POST /v1/responses/input_tokens": reading((sim, body) => counted(sim, fromResponses(body))),
  "POST /v1/embeddings": reading(embeddings),
  "POST /v1/rerank": reading(rerank),
  "POST /v1/reranking": reading(rerank),
  "POST /tokenize": reading(tokenize),
  "POST /detokenize": reading(detokenize),
  "POST /apply-template": reading((sim, body) => toJson({ prompt: renderedChat(sim, body).prompt })),
};

/** Routes that need no key (transcript "health-no-key"). */
const OPEN = new Set(["/health", "/v1/health", "/models", "/v1/models", "/"]);

export function route(sim: Sim, exchange: Exchange): void {
  const { method = "GET" } = exchange.req;
  const edge = (error: ApiError): void => exchange.json(error.edgeBody(), error.status);
  if (method === "OPTIONS") {
    preflight(exchange);
  } else if (sim.loading || sim.board.current.loading) {
    edge(new ApiError("unavailable_error", "Loading model"));
  } else if (!OPEN.has(exchange.path) && !mayEnter(sim, exchange)) {
    edge(new ApiError("authentication_error", "Invalid API Key"));
  } else {
    const handler = ROUTES[`${method} ${exchange.path}`];
    if (handler) guarded(handler, sim, exchange);
    else edge(new ApiError("not_found_error", "File Not Found"));
  }
}

function guarded(handler: Handler, sim: Sim, exchange: Exchange): void {
  try {
    handler(sim, exchange);
  } catch (error) {
    exchange.error(error instanceof ApiError ? error : serverError(String(error)));
  }
}

function mayEnter(sim: Sim, exchange: Exchange): boolean {
  const { apiKeys } = sim.settings;
  const { headers } = exchange.req;
  const given = headers.authorization ?? headers["x-api-key"];
  return (
    apiKeys.length === 0 || (typeof given === "string" && apiKeys.includes(given.replace(/^Bearer /, "")))
  );
}

function health(sim: Sim, exchange: Exchange): void {
  if (!sim.board.current.hangHealth) exchange.json('{"status":"ok"}');
}

function showSlots(sim: Sim, exchange: Exchange): void {
  if (!sim.settings.slots) throw notSupported("slots endpoint", "--slots");
  exchange.json(slots(sim));
}

function showMetrics(sim: Sim, exchange: Exchange): void {
  if (!sim.settings.metrics) throw notSupported("metrics endpoint", "--metrics");
  const started: [string, string] = ["Process-Start-Time-Unix", String(sim.startedAt)];
  exchange.answer(200, "text/plain; version=0.0.4", Buffer.from(metrics(sim)), [started]);
}

function generating(read: (sim: Sim, body: Body) => Call): Handler {
  return (sim, exchange) => {
    const { fault } = sim.board.current;
    if (fault !== null) {
      sim.board.spend("fault");
      misbehave(exchange, fault);
      return;
    }
    generate(sim, exchange, read(sim, readBody(exchange.body)));
  };
}

function reading(answer: (sim: Sim, body: Body) => string): Handler {
  return (sim, exchange) => exchange.json(answer(sim, readBody(exchange.body)));
}

/** README, "X-Conversation-Id": what was said so far, then the rest as it comes. */
function replay(sim: Sim, exchange: Exchange): void {
  const id = exchange.query.get("conv_id") ?? "";
  if (id === "") throw invalid("Missing conversation id in path");
  const kept = sim.conversations.find(id);
  if (!kept) throw new ApiError("not_found_error", "Stream not found or expired");
  exchange.openStream();
  kept.listen((text) => {
    if (text === null) exchange.endStream();
    else exchange.write(text);
  });
}

const counted = (sim: Sim, body: Body): string =>
  toJson({
    input_tokens: promptPieces(renderedChat(sim, body).prompt).length,
    object: "response.input_tokens",
  });

function tokenize(sim: Sim, body: Body): string {
  const content = typeof body["content"] === "string" ? body["content"] : "";
  const texts = body["add_special"] === true ? promptPieces(content) : pieces(content);
  const tokens = texts.map((piece) => {
    const id = sim.vocabulary.id(piece);
    return body["with_pieces"] === true ? { id, piece } : id;
  });
  return toJson({ tokens });
}

function detokenize(sim: Sim, body: Body): string {
  const tokens = Array.isArray(body["tokens"]) ? body["tokens"] : [];
  return toJson({ content: tokens.map((id) => sim.vocabulary.text(Number(id))).join("") });
}

function preflight(exchange: Exchange): void {
  exchange.answer(200, "text/html", Buffer.alloc(0), [
    ["Access-Control-Allow-Credentials", "true"],
    ["Access-Control-Allow-Methods", "GET, POST"],
    ["Access-Control-Allow-Headers", "*"],
  ]);
}
