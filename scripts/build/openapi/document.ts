// Builds the OpenAPI 3.1 document of a fleet: its call routes, the public and the admin routes, every error code and
// header. Pure: the fleet file goes in, an object comes out.
import { anthropicErrorBody, errorBody, type ErrorShape } from "../../../shared/errors.ts";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { ANSWER_SCHEMAS } from "./admin-answers.ts";
import { adminOperations } from "./admin-operations.ts";
import { CALL_SCHEMAS } from "./call-answers.ts";
import { exampleNames, REQUEST_ID } from "./call-examples.ts";
import { callOperations } from "./call-operations.ts";
import { ERROR_TEXTS } from "./error-texts.ts";
import { ERROR_HEADERS, EVERYWHERE, headerComponents, headerRefs, RATE } from "./headers.ts";
import { publicOperations } from "./public-operations.ts";
import {
  json,
  object,
  ref,
  text,
  type OpenApiDocument,
  type Operation,
  type OperationObject,
  type PathItem,
  type ResponseObject,
  type Schema,
} from "./types.ts";

/** Statuses that any route can answer with. */
const ANYWHERE = [403, 429, 500, 503];

const TAGS = [
  { name: "Models", description: "Calls to models, and the list of them. The key needs the scope `infer`." },
  { name: "Health", description: "For monitors. No key is needed." },
  { name: "Keys and usage", description: "For operators. The key needs the scope `admin`." },
  { name: "Fleet", description: "For operators. The key needs the scope `admin`." },
  { name: "Documents", description: "Pages and this document." },
];

export function operationsOf(fleet: FleetConfig): Operation[] {
  const names = exampleNames(fleet);
  return [...callOperations(fleet, names), ...publicOperations(names), ...adminOperations(names)];
}

export function openApiDocument(fleet: FleetConfig): OpenApiDocument {
  const operations = operationsOf(fleet);
  const paths: Record<string, PathItem> = {};
  for (const operation of operations) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: operationObject(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: `${fleet.domain} API`,
      version: "1",
      description:
        "Language models behind one address. The guide is at `/docs`. Every error has the form of the schema `Error`, or of `AnthropicError` on `/v1/messages` and below; `x-error-codes` lists the codes.",
      license: { name: "All rights reserved", identifier: "LicenseRef-UNLICENSED" },
    },
    servers: [{ url: "/", description: "The host that serves this document." }],
    tags: TAGS.filter(({ name }) => operations.some(({ tag }) => tag === name)),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "`Authorization: Bearer isha_…`" },
        apiKey: {
          type: "apiKey",
          in: "header",
          name: "x-api-key",
          description: "The same key, as Anthropic's SDKs send it.",
        },
      },
      headers: headerComponents(exampleNames(fleet)),
      schemas: usedSchemas(paths),
      responses: errorResponses(operations),
    },
    "x-error-codes": ERROR_TEXTS,
  };
}

function operationObject(operation: Operation): OperationObject {
  const { id, tag, summary, description, scope, parameters, body, headers = [] } = operation;
  const successHeaders = [...EVERYWHERE, ...(scope === null ? [] : RATE), ...headers];
  const answers = operation.answers.map(({ status, description, content }): [string, ResponseObject] => [
    String(status),
    { description, headers: headerRefs(status < 300 ? successHeaders : ERROR_HEADERS), content },
  ]);
  const own = new Set(operation.answers.map(({ status }) => status));
  const errors = statusesOf(operation)
    .filter((status) => !own.has(status))
    .map((status): [string, { $ref: string }] => [
      String(status),
      { $ref: `#/components/responses/${responseName(operation, status)}` },
    ]);
  return {
    operationId: id,
    tags: [tag],
    summary,
    description,
    security: scope === null ? [] : [{ bearer: [] }, { apiKey: [] }],
    ...(parameters === undefined ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: body.required, content: json(body.schema, body.example) } }),
    responses: Object.fromEntries([...answers, ...errors]),
  };
}

function statusesOf({ errors }: Operation): number[] {
  return [...new Set([...errors, ...ANYWHERE])].toSorted((a, b) => a - b);
}

const responseName = ({ errorShape }: Operation, status: number): string =>
  `${errorShape === "anthropic" ? "AnthropicError" : "Error"}${status}`;

function errorResponses(operations: readonly Operation[]): Record<string, ResponseObject> {
  const responses: Record<string, ResponseObject> = {};
  for (const operation of operations) {
    for (const status of statusesOf(operation)) {
      responses[responseName(operation, status)] = errorResponse(status, operation.errorShape);
    }
  }
  return responses;
}

function errorResponse(status: number, shape: ErrorShape = "openai"): ResponseObject {
  const texts = ERROR_TEXTS.filter((row) => row.status === status);
  const [first] = texts;
  if (first === undefined) throw new Error(`no error code has the status ${status}`);
  const refusal = { code: first.code, message: first.meaning };
  return {
    description: texts.map(({ code, meaning }) => `\`${code}\`: ${meaning}`).join("\n\n"),
    headers: headerRefs([...ERROR_HEADERS, ...(status === 401 ? ["www-authenticate"] : [])]),
    content:
      shape === "anthropic"
        ? json(ref("AnthropicError"), anthropicErrorBody(refusal, REQUEST_ID))
        : json(ref("Error"), errorBody(refusal, REQUEST_ID)),
  };
}

const SCHEMAS: Readonly<Record<string, Schema>> = {
  ...CALL_SCHEMAS,
  ...ANSWER_SCHEMAS,
  Error: object({
    error: object({
      message: { ...text, description: "What was wrong and what to do." },
      type: { ...text, enum: [...new Set(ERROR_TEXTS.map(({ type }) => type))] },
      code: { ...text, enum: ERROR_TEXTS.map(({ code }) => code) },
      param: { type: ["string", "null"], description: "The wrong field." },
      request_id: text,
    }),
  }),
  AnthropicError: object({
    type: { const: "error" },
    error: object({ type: text, message: text }),
    request_id: text,
  }),
};

/** The schemas that paths and errors refer to, and those that these refer to. */
function usedSchemas(paths: OpenApiDocument["paths"]): Record<string, Schema> {
  const names = new Set<string>();
  const visit = (value: unknown): void => {
    for (const [, name = ""] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([A-Za-z]+)"/g)) {
      if (names.has(name)) continue;
      names.add(name);
      visit(SCHEMAS[name] ?? {});
    }
  };
  visit(paths);
  names.add("Error");
  if (JSON.stringify(paths).includes("AnthropicError")) names.add("AnthropicError");
  return Object.fromEntries(Object.entries(SCHEMAS).filter(([name]) => names.has(name)));
}
