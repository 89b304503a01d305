// The operations of the routes other than calls and administration: models, health, documents.
import type { ExampleNames } from "./call-examples.ts";
import { json, ref, type Operation, type Parameter, type Schema } from "./types.ts";

const status = { type: "object", properties: { status: { const: "ok" } }, required: ["status"] };

const either = (...names: readonly string[]): Schema => ({ anyOf: names.map(ref) });

const ANTHROPIC_VERSION: Parameter = {
  name: "anthropic-version",
  in: "header",
  required: false,
  description: "As Anthropic's SDKs send it: the answer has Anthropic's form.",
  schema: { type: "string" },
  example: "2023-06-01",
};

export function publicOperations({ agent, model, file, port, box }: ExampleNames): Operation[] {
  const entry = {
    id: agent,
    object: "model",
    created: 0,
    owned_by: "isha",
    isha: {
      kind: "agent_type",
      model,
      file,
      ports: [port],
      agent_types: [agent],
      description: "…",
      best_for: "…",
      context_length: 2048,
      max_tokens: 1024,
      capabilities: ["chat"],
      state: "ready",
    },
  };
  return [
    {
      method: "get",
      path: "/v1/models",
      id: "list_models",
      tag: "Models",
      summary: "List the models and agent types",
      description:
        "Every name that a request's `model` may have, with its use, its limits and its current state. A key that is limited to agent types gets only those. With an `anthropic-version` header the list has Anthropic's form.",
      scope: "infer",
      parameters: [ANTHROPIC_VERSION],
      answers: [
        {
          status: 200,
          description: "The list.",
          content: json(either("ModelList", "AnthropicModelList"), { object: "list", data: [entry] }),
        },
      ],
      errors: [401, 403, 429],
    },
    {
      method: "get",
      path: "/v1/models/{id}",
      id: "show_model",
      tag: "Models",
      summary: "Show one model or agent type",
      description: "Letter case doesn't matter. The file's name works too.",
      scope: "infer",
      parameters: [
        {
          name: "id",
          in: "path",
          required: true,
          description: "A model, an agent type or a file.",
          schema: { type: "string" },
          example: agent,
        },
        ANTHROPIC_VERSION,
      ],
      answers: [
        { status: 200, description: "The entry.", content: json(either("Model", "AnthropicModel"), entry) },
      ],
      errors: [401, 403, 404, 429],
    },
    {
      method: "get",
      path: "/healthz",
      id: "health",
      tag: "Health",
      summary: "Report whether the service works",
      description:
        "200 as long as some model can be served, also if others are down. With `require`, 503 if one of the named agent types isn't ready.",
      scope: null,
      parameters: [
        {
          name: "require",
          in: "query",
          required: false,
          description: "Agent types, separated by commas, or `all`.",
          schema: { type: "string" },
          example: agent,
        },
      ],
      answers: [
        {
          status: 200,
          description: "It works, at least in part.",
          content: json(ref("Health"), {
            status: "ok",
            boxes: { [box]: "up" },
            models: { [model]: "ready" },
          }),
        },
        {
          status: 503,
          description: "Nothing, or not what `require` names, can be served.",
          content: json(ref("Health")),
        },
      ],
      errors: [400, 429],
    },
    {
      method: "get",
      path: "/livez",
      id: "live",
      tag: "Health",
      summary: "Report whether the edge answers",
      description: "The models may be down all the same.",
      scope: null,
      answers: [{ status: 200, description: "It does.", content: json(status, { status: "ok" }) }],
      errors: [429],
    },
    page("/docs", "docs", "Show the guide"),
    page("/docs/reference", "reference", "Show the reference, in which calls can be tried"),
    page("/console", "console", "Show the operators' console"),
    {
      method: "get",
      path: "/openapi.json",
      id: "openapi",
      tag: "Documents",
      summary: "Return this document",
      description: "OpenAPI 3.1.",
      scope: null,
      answers: [{ status: 200, description: "The document.", content: json({ type: "object" }) }],
      errors: [429],
    },
  ];
}

function page(path: string, id: string, summary: string): Operation {
  return {
    method: "get",
    path,
    id,
    tag: "Documents",
    summary,
    description: "An HTML page.",
    scope: null,
    answers: [
      { status: 200, description: "The page.", content: { "text/html": { schema: { type: "string" } } } },
    ],
    errors: [429],
  };
}
