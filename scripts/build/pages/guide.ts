// Generates /docs: the guide for client developers, three minutes to read, from the fleet file, the error table and the
// OpenAPI document.
import { html } from "hono/html";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { exampleNames, mediczyExample, mediczyStream, REQUEST_ID } from "../openapi/call-examples.ts";
import { ERROR_TEXTS } from "../openapi/error-texts.ts";
import type { OpenApiDocument, Schema } from "../openapi/types.ts";
import { headerTable, keyText, limitText, modelTable, privacyText } from "./guide-texts.ts";
import { code, descriptionOf, HOST, pageOf, paragraph, prose, section, table, typeText } from "./parts.ts";
import { byAgent, byModel, byPort, sdkSnippets, streamed } from "./snippets.ts";

const SECTIONS = {
  start: { id: "start", title: "First answer" },
  models: { id: "models", title: "Choosing the model" },
  formats: { id: "formats", title: "Formats" },
  streams: { id: "streams", title: "Streams" },
  parameters: { id: "parameters", title: "Parameters" },
  sdks: { id: "sdks", title: "SDKs" },
  limits: { id: "limits", title: "Limits and headers" },
  errors: { id: "errors", title: "Errors" },
  keys: { id: "keys", title: "Keys, browsers, privacy" },
  routes: { id: "routes", title: "Other routes" },
} as const;

export function guidePage(fleet: FleetConfig, document: OpenApiDocument): string {
  const parts = [
    start(fleet),
    models(fleet),
    formats(),
    streams(fleet),
    parameters(document),
    sdks(fleet, document),
    section(SECTIONS.limits, paragraph(limitText(fleet)), headerTable(fleet)),
    errors(),
    keys(fleet),
    routes(document),
  ];
  return pageOf(`${HOST}: guide`, "guide", Object.values(SECTIONS), [
    html`<h1>${HOST}</h1>`,
    html`<p class="lead">
      Language models behind one address. A request names an agent type, a port or a model, and the right
      model answers.
    </p>`,
    ...parts,
  ]);
}

function start(fleet: FleetConfig) {
  const names = exampleNames(fleet);
  return section(
    SECTIONS.start,
    paragraph(keyText(fleet)),
    code("sh", 'export ISHA_KEY="isha_…"'),
    code("sh", byAgent(names)),
    paragraph("The answer has the text in two places, for old and new clients, and names the server:"),
    code("json", JSON.stringify(mediczyExample(names), null, 2)),
    paragraph("To try calls without a terminal, use the [reference](/docs/reference)."),
  );
}

function models(fleet: FleetConfig) {
  const names = exampleNames(fleet);
  const unknown =
    fleet.unknownModel === "refuse" ? "a 404 lists the names" : `port ${fleet.defaultPort} answers`;
  return section(
    SECTIONS.models,
    modelTable(fleet),
    paragraph("The first of these fields that is present decides:"),
    html`<ol>
      <li>
        ${prose("`model_port`: the model on this port. An unknown port is a 400 that lists the ports.")}
      </li>
      <li>
        ${prose(
          `\`agent_type\`: the model for it, in any letter case. For an unknown one, port ${fleet.defaultPort} answers, and \`isha.agent_type\` is \`Default\`.`,
        )}
      </li>
      <li>${prose(`\`model\`: an agent type, a model or a file. For an unknown one, ${unknown}.`)}</li>
      <li>${prose(`None of them: port ${fleet.defaultPort}.`)}</li>
    </ol>`,
    paragraph("A misspelt field, such as `agentType` or `port`, is a 400 that names the right one."),
    paragraph("By port:"),
    code("sh", byPort(names)),
    paragraph("By name, in OpenAI's format:"),
    code("sh", byModel(names)),
    paragraph(
      '**Fallback.** If the model is loading, the call waits for it for up to 20 s. If it is down, another one answers. The answer then has the requested port in the header `x-isha-fallback-from` and in `isha.fallback_from`, and `model` names the model that answered. With `"fallback": false` the call fails with 503 `model_unavailable` instead.',
    ),
  );
}

function formats() {
  return section(
    SECTIONS.formats,
    table(
      ["The body has", "Format", "The text is in"],
      [
        [
          "`agent_type` or `model_port`, or no `model`",
          "Mediczy",
          "`choices[0].text` and `choices[0].message.content`",
        ],
        ["`model` and neither of those", "OpenAI", "`choices[0].message.content`"],
      ],
    ),
    paragraph(
      '`"format": "openai"` or `"format": "mediczy"` selects one. Only `/v1/chat/completions` has a choice; every other route answers in its own form.',
    ),
  );
}

function streams(fleet: FleetConfig) {
  const names = exampleNames(fleet);
  return section(
    SECTIONS.streams,
    paragraph('With `"stream": true` the answer arrives as server-sent events:'),
    code("sh", streamed(names)),
    code("sse", mediczyStream(names).trimEnd()),
    html`<ul>
      <li>${prose("A stream that ends with `data: [DONE]` is complete.")}</li>
      <li>
        ${prose(
          "A stream that fails after its first event ends with one event that has `error`, and **without** `[DONE]`. SDKs throw on it. Discard the text or show it as incomplete.",
        )}
      </li>
      <li>
        ${prose(
          "While a stream waits, it carries a comment line every second: `: queued, place 3, about 4 s`, `: processing the prompt`. Clients skip lines that begin with a colon.",
        )}
      </li>
      <li>
        ${prose(
          "If the server of a plain chat stream dies, another one of the same model continues the text after a pause of up to a minute.",
        )}
      </li>
      <li>
        ${prose(
          "An answer that isn't streamed and takes longer than 50 s begins with spaces, which JSON parsers skip. If it fails after that, it is an error object in a 200: check for `error`.",
        )}
      </li>
      <li>${prose("Close the connection to cancel a call. The model stops within two seconds.")}</li>
    </ul>`,
  );
}

/** Fields that most clients need; the reference has all. */
const COMMON =
  "messages agent_type model_port model format fallback stream max_tokens temperature top_p seed stop n logprobs top_logprobs tools response_format user".split(
    " ",
  );

function parameters(document: OpenApiDocument) {
  const body = document.paths["/v1/chat/completions"]?.post?.requestBody?.content["application/json"]?.schema;
  const properties = (body?.["properties"] ?? {}) as Record<string, Schema>;
  const rows = COMMON.filter((name) => properties[name] !== undefined).map((name) => [
    `\`${name}\``,
    typeText(properties[name] ?? {}),
    descriptionOf(properties[name]),
  ]);
  return section(
    SECTIONS.parameters,
    table(["Field", "Values", "Meaning"], rows),
    paragraph(
      "The [reference](/docs/reference#chat) has every field of every route. Fields that this API doesn't know are passed on to the model's server. A few are refused because they would affect other callers, such as `lora`, `id_slot` or image URLs other than `data:`.",
    ),
  );
}

function sdks(fleet: FleetConfig, { paths }: OpenApiDocument) {
  const snippets = sdkSnippets(exampleNames(fleet)).filter(({ path }) => paths[path] !== undefined);
  return section(
    SECTIONS.sdks,
    paragraph("Set the base URL and the key. An agent type works as the model's name."),
    ...snippets.flatMap(({ title, language, text }) => [html`<h3>${title}</h3>`, code(language, text)]),
  );
}

function errors() {
  return section(
    SECTIONS.errors,
    paragraph(
      "Every error has this form. The message states what was wrong and what to do; programs read `code`:",
    ),
    code(
      "json",
      JSON.stringify(
        {
          error: {
            message: "messages[0].content: must be a string or an array; got 1.",
            type: "invalid_request_error",
            code: "invalid_request",
            param: "messages[0].content",
            request_id: REQUEST_ID,
          },
        },
        null,
        2,
      ),
    ),
    paragraph(
      '`/v1/messages` and `/v1/messages/count_tokens` use Anthropic\'s form: `{"type":"error","error":{"type","message"},"request_id"}`. The SDKs of OpenAI and Anthropic obey the headers that control retries.',
    ),
    table(
      ["Status", "Code", "Meaning", "Retry?"],
      ERROR_TEXTS.map(({ code, status, meaning, retry }) => [String(status), `\`${code}\``, meaning, retry]),
      ERROR_TEXTS.map(({ code }) => `error-${code}`),
    ),
  );
}

function keys(fleet: FleetConfig) {
  const origins = fleet.cors.v1;
  const pages =
    origins === "*"
      ? "Pages of any site may call the models"
      : `Pages of these sites may call the models: ${origins.join(", ")}`;
  return section(
    SECTIONS.keys,
    paragraph(
      "**Keys.** Ask the operator of this service for a key. It can be limited to agent types, requests per second, calls at a time, tokens per month and a date. A rotated key stays valid for a grace period.",
    ),
    paragraph(
      `**Browsers (CORS).** ${pages}; browsers never send a key by themselves. A key in a page can be read by everyone who opens it, so use one that is limited.`,
    ),
    paragraph(privacyText()),
  );
}

function routes(document: OpenApiDocument) {
  const rows = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, { tags }]) => tags.includes("Models") || tags.includes("Health"))
      .map(([method, { operationId, summary }]) => [
        `[${method.toUpperCase()} ${path}](/docs/reference#${operationId})`,
        summary,
      ]),
  );
  return section(SECTIONS.routes, table(["Route", "Use"], rows));
}
