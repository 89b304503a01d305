// The steps of `isha smoke`: every agent type, both formats, streams, every dialect, headers and errors. Each sends a few
// tokens' worth of work; the prompt is a fixed sentence.
import { DIALECTS } from "../../shared/dialects.ts";
import {
  expectCount,
  expectHeader,
  expectMember,
  expectStatus,
  memberAt,
  send,
  Unexpected,
  type Answer,
  type Sent,
  type Service,
} from "./service.ts";

export interface Step {
  readonly name: string;
  /** @throws Unexpected */
  readonly run: (service: Service) => Promise<void>;
}

/** A model or an agent type, as `/v1/models` lists it. */
export interface Listed {
  readonly id: string;
  readonly kind: string;
  readonly capabilities: readonly string[];
}

const MESSAGES = [{ role: "user", content: "Reply with one word." }];
const MAX_TOKENS = 4;

/** @throws Unexpected unless the service lists its models */
export async function listModels(service: Service): Promise<Listed[]> {
  const answer = await send(service, "/v1/models");
  expectStatus(answer, 200);
  const data = answer.json?.["data"];
  if (!Array.isArray(data) || data.length === 0) throw new Unexpected("/v1/models lists no model");
  return data.map((entry: unknown) => {
    const capabilities = memberAt(entry, "isha.capabilities");
    return {
      id: String(memberAt(entry, "id")),
      kind: String(memberAt(entry, "isha.kind")),
      capabilities: Array.isArray(capabilities) ? capabilities.map(String) : [],
    };
  });
}

/** All steps for a service with these models. */
export function stepsFor(models: readonly Listed[]): Step[] {
  const agents = models.filter(({ kind }) => kind === "agent_type").map(({ id }) => id);
  const chat = models.find(({ capabilities, kind }) => kind === "model" && capabilities.includes("chat"));
  return [
    {
      name: "healthz",
      run: async (service) => expectStatus(await send(service, "/healthz?require=all"), 200),
    },
    ...agents.map(agentStep),
    ...(chat === undefined ? [] : chatSteps(chat.id)),
    ...(["embeddings", "rerank"] as const).map((dialect) => optionalStep(dialect, models)),
    ...ERROR_STEPS,
  ];
}

function agentStep(agent: string): Step {
  return {
    name: `agent ${agent}`,
    async run(service) {
      const body = { agent_type: agent, messages: MESSAGES, max_tokens: MAX_TOKENS };
      const answer = await send(service, DIALECTS.chat.path, { body });
      expectStatus(answer, 200);
      expectMember(answer, "object", "text_completion");
      expectMember(answer, "isha.agent_type", agent);
      expectMember(answer, "isha.fallback_from", null);
      expectCount(answer, "usage.completion_tokens");
      for (const header of ["x-isha-port", "x-isha-box", "x-isha-model"]) expectHeader(answer, header);
    },
  };
}

function chatSteps(model: string): Step[] {
  const call = (path: string, body: object, sent: Sent = {}) => ({
    path,
    sent: { ...sent, body: { model, ...body } },
  });
  const rows: readonly (readonly [
    name: string,
    request: ReturnType<typeof call>,
    check: (answer: Answer) => void,
  ])[] = [
    [
      "format openai",
      call(DIALECTS.chat.path, { messages: MESSAGES, max_tokens: MAX_TOKENS }),
      (answer) => expectMember(answer, "object", "chat.completion"),
    ],
    [
      "stream openai",
      call(DIALECTS.chat.path, { messages: MESSAGES, max_tokens: MAX_TOKENS, stream: true }),
      (answer) => expectStream(answer, "data: [DONE]"),
    ],
    [
      "stream mediczy",
      call(DIALECTS.chat.path, {
        messages: MESSAGES,
        max_tokens: MAX_TOKENS,
        stream: true,
        format: "mediczy",
      }),
      (answer) => expectStream(answer, "data: [DONE]"),
    ],
    [
      DIALECTS.completions.path,
      call(DIALECTS.completions.path, { prompt: "One word:", max_tokens: MAX_TOKENS }),
      (answer) => expectMember(answer, "object", "text_completion"),
    ],
    [
      DIALECTS.responses.path,
      call(DIALECTS.responses.path, { input: "Reply with one word.", max_output_tokens: MAX_TOKENS }),
      (answer) => expectMember(answer, "object", "response"),
    ],
    [
      `stream ${DIALECTS.responses.path}`,
      call(DIALECTS.responses.path, {
        input: "Reply with one word.",
        max_output_tokens: MAX_TOKENS,
        stream: true,
      }),
      (answer) => expectStream(answer, "response.completed"),
    ],
    [
      DIALECTS.messages.path,
      call(DIALECTS.messages.path, { messages: MESSAGES, max_tokens: MAX_TOKENS }),
      (answer) => expectMember(answer, "type", "message"),
    ],
    [
      `stream ${DIALECTS.messages.path}`,
      call(DIALECTS.messages.path, { messages: MESSAGES, max_tokens: MAX_TOKENS, stream: true }),
      (answer) => expectStream(answer, "event: message_stop"),
    ],
    [
      DIALECTS.count_tokens.path,
      call(DIALECTS.count_tokens.path, { messages: MESSAGES }),
      (answer) => expectCount(answer, "input_tokens"),
    ],
    [
      DIALECTS.tokenize.path,
      call(DIALECTS.tokenize.path, { content: "one two" }),
      (answer) => {
        if (!Array.isArray(answer.json?.["tokens"])) throw new Unexpected("tokens is no list");
      },
    ],
    [
      DIALECTS.detokenize.path,
      call(DIALECTS.detokenize.path, { tokens: [1, 2] }),
      (answer) => {
        if (typeof answer.json?.["content"] !== "string") throw new Unexpected("content is no text");
      },
    ],
    [
      DIALECTS.apply_template.path,
      call(DIALECTS.apply_template.path, { messages: MESSAGES }),
      (answer) => {
        if (typeof answer.json?.["prompt"] !== "string") throw new Unexpected("prompt is no text");
      },
    ],
  ];
  return rows.map(([name, { path, sent }, check]) => ({
    name,
    async run(service) {
      const answer = await send(service, path, sent);
      expectStatus(answer, 200);
      expectSafe(answer);
      check(answer);
    },
  }));
}

/** A route that only some fleets can serve: without such a model, the refusal is what a client must get. */
function optionalStep(dialect: "embeddings" | "rerank", models: readonly Listed[]): Step {
  const able = models.find(({ capabilities }) => capabilities.includes(dialect));
  const body =
    dialect === "embeddings" ? { input: "one two" } : { query: "one", documents: ["one two", "three"] };
  return {
    name: `${DIALECTS[dialect].path}${able === undefined ? " (no such model)" : ""}`,
    async run(service) {
      const answer = await send(service, DIALECTS[dialect].path, {
        body: { ...body, ...(able === undefined ? {} : { model: able.id }) },
      });
      if (able === undefined) expectRefusal(answer, 400, "not_supported_by_model");
      else expectStatus(answer, 200);
    },
  };
}

const ERROR_STEPS: readonly Step[] = (
  [
    ["error: no key", "/v1/models", { anonymous: true }, 401, "missing_key"],
    ["error: invalid JSON", DIALECTS.chat.path, { body: "{" }, 400, "invalid_json"],
    ["error: no messages", DIALECTS.chat.path, { body: {} }, 400, "invalid_request"],
    [
      "error: unknown model",
      DIALECTS.chat.path,
      { body: { model: "no-such-model", messages: MESSAGES } },
      404,
      "model_not_found",
    ],
    ["error: unknown route", "/v1/nothing", {}, 404, "not_found"],
    ["error: wrong method", DIALECTS.chat.path, { method: "GET" }, 405, "method_not_allowed"],
  ] satisfies readonly [string, string, Sent, number, string][]
).map(([name, path, sent, status, code]) => ({
  name,
  async run(service) {
    const answer = await send(service, path, sent);
    expectRefusal(answer, status, code);
    expectSafe(answer);
  },
}));

function expectRefusal(answer: Answer, status: number, code: string): void {
  expectStatus(answer, status);
  expectMember(answer, "error.code", code);
  expectMember(answer, "error.request_id", answer.headers.get("x-request-id"));
}

/** Headers of every answer; none of a llama-server's own. */
function expectSafe(answer: Answer): void {
  for (const header of [
    "x-request-id",
    "strict-transport-security",
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
  ]) {
    expectHeader(answer, header);
  }
  if (/llama/i.test(answer.headers.get("server") ?? ""))
    throw new Unexpected("the server header names llama.cpp");
}

function expectStream({ headers, text }: Answer, end: string): void {
  if (headers.get("content-type")?.startsWith("text/event-stream") !== true)
    throw new Unexpected("it is no event stream");
  if (!text.includes(end)) throw new Unexpected(`the stream has no ${end}`);
}
