// The origin behind every measured program: answers a chat as llama-server does, at the least cost, and
// decides nothing. With `--agent BOX` it answers as that box's agent would. It prints its address as one JSON line.
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { agent: { type: "string" }, slots: { type: "string" }, "event-ms": { type: "string" } },
});

/** Long enough that two events don't meet in one read of the next hop's, short enough for many streams. */
const BETWEEN_EVENTS_MS = Number(values["event-ms"] ?? 1);
const JSON_BYTES = 1024;
const MODEL = "a-model-8b.Q6_K.gguf";
const HEAD = {
  created: 1_795_425_618,
  id: "chatcmpl-IsgdK9NQfgtPAJwJWRrplA0QFpcTYOn3",
  model: MODEL,
  system_fingerprint: "b1-de3ff81",
};
const TIMINGS = {
  cache_n: 0,
  prompt_n: 300,
  prompt_ms: 130.016,
  prompt_per_token_ms: 0.433,
  prompt_per_second: 2307.4,
  predicted_n: 96,
  predicted_ms: 2010.726,
  predicted_per_token_ms: 20.945,
  predicted_per_second: 47.7439,
};
const USAGE = {
  completion_tokens: 96,
  prompt_tokens: 300,
  total_tokens: 396,
  prompt_tokens_details: { cached_tokens: 0 },
};

/** Added to every answer: the edge takes none that its box's agent hasn't signed so. */
const signature: OutgoingHttpHeaders = values.agent === undefined ? {} : { "x-isha-agent": values.agent };

const FIRST = chunk({ role: "assistant", content: null });
const CONTENT = [" breath", " shortness", " referred", " acute"].map((content) => chunk({ content }));
const FINISH = chunk({}, "stop");
const COUNTS = event({
  choices: [],
  ...HEAD,
  object: "chat.completion.chunk",
  usage: USAGE,
  timings: TIMINGS,
});
const DONE = Buffer.from("data: [DONE]\n\n");
const JSON_ANSWER = jsonAnswer();

/** From the end of an answer to the next call, in milliseconds: with one slot, how long that stood idle. */
const idleTimes: number[] = [];
let endedAt: number | null = null;

/** The headers of the call that came last: how the bench learns what the edge sends to an agent. */
let lastHeaders: IncomingMessage["headers"] = {};

/** Enough that nothing waits, and no more: an agent looks through all of them at every call. */
const SLOTS = Array.from({ length: Number(values.slots ?? 8) }, (_, id) => ({
  id,
  n_ctx: 2048,
  speculative: false,
  is_processing: false,
}));

const OTHERS: Readonly<Record<string, () => unknown>> = {
  "/last-call": () => lastHeaders,
  "/slots": () => SLOTS,
  "/idle-times": () => idleTimes.splice(0),
};

const server = createServer((request, response) => {
  if (request.method === "POST") return answerChat(request, response);
  const body = JSON.stringify(OTHERS[request.url ?? ""]?.() ?? { status: "ok" });
  response.writeHead(200, { "content-type": "application/json", ...signature });
  response.end(body);
});
// The load comes in bursts minutes apart, and a socket that dies between two is no finding.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : null }));
});

function answerChat(request: IncomingMessage, response: ServerResponse): void {
  lastHeaders = request.headers;
  if (endedAt !== null) idleTimes.push(performance.now() - endedAt);
  endedAt = null;
  response.once("finish", () => {
    endedAt = performance.now();
  });
  const received: Buffer[] = [];
  request.on("data", (bytes: Buffer) => received.push(bytes));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(received).toString("utf8")) as ChatBody;
    if (body.stream === true) streamChat(body, response);
    else {
      response.writeHead(200, {
        "content-type": "application/json; charset=utf-8",
        "content-length": JSON_ANSWER.length,
        ...signature,
      });
      response.end(JSON_ANSWER);
    }
  });
}

interface ChatBody {
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly max_tokens?: number;
  /** Wins over `max_tokens`, as in llama-server. */
  readonly n_predict?: number;
}

/** One event a write, apart in time. */
function streamChat(body: ChatBody, response: ServerResponse): void {
  const tokens = body.n_predict ?? body.max_tokens ?? 1;
  const counts = body.stream_options?.include_usage === true ? [COUNTS] : [];
  const ending = [FINISH, ...counts, DONE];
  let sent = 0;
  const next = (): void => {
    const event = sent < tokens ? CONTENT[sent % CONTENT.length] : ending[sent - tokens];
    if (event === undefined) return void response.end();
    response.write(event);
    sent += 1;
    if (sent < tokens + ending.length) timer = setTimeout(next, BETWEEN_EVENTS_MS);
    else response.end();
  };
  response.writeHead(200, { "content-type": "text/event-stream", ...signature });
  response.write(FIRST);
  let timer = setTimeout(next, BETWEEN_EVENTS_MS);
  response.on("close", () => clearTimeout(timer));
}

function chunk(delta: object, finishReason: string | null = null): Buffer {
  return event({
    choices: [{ finish_reason: finishReason, index: 0, delta }],
    ...HEAD,
    object: "chat.completion.chunk",
  });
}

function event(data: object): Buffer {
  return Buffer.from(`data: ${JSON.stringify(data)}\n\n`);
}

function jsonAnswer(): Buffer {
  const withText = (text: string): Buffer =>
    Buffer.from(
      JSON.stringify({
        choices: [{ finish_reason: "stop", index: 0, message: { role: "assistant", content: text } }],
        ...HEAD,
        object: "chat.completion",
        usage: USAGE,
        timings: TIMINGS,
      }),
    );
  const text = "Rest, fluids and a review in two days unless the pain returns. ".repeat(20);
  return withText(text.slice(0, JSON_BYTES - withText("").length));
}
