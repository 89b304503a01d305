// Types of the parts of an OpenAPI 3.1 document that this project writes, and functions that build its schemas.
import type { ErrorShape } from "../../../shared/errors.ts";

/** A JSON Schema (2020-12), or a reference to a component. */
export type Schema = Readonly<Record<string, unknown>>;

export type Method = "get" | "post" | "patch" | "delete";

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly description: string;
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface Content {
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface ResponseObject {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Schema>>;
  readonly content?: Readonly<Record<string, Content>>;
}

export interface OperationObject {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, Content>>;
  };
  readonly responses: Readonly<Record<string, ResponseObject | { readonly $ref: string }>>;
}

export type PathItem = Readonly<Partial<Record<Method, OperationObject>>>;

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: Readonly<Record<string, unknown>>;
  readonly servers: readonly { readonly url: string; readonly description: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly securitySchemes: Readonly<Record<string, Schema>>;
    readonly headers: Readonly<Record<string, Schema>>;
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, ResponseObject>>;
  };
  /** Every error code: its status, its meaning for a client, and whether a retry helps. */
  readonly "x-error-codes": readonly {
    readonly code: string;
    readonly status: number;
    readonly type: string;
    readonly meaning: string;
    readonly retry: string;
  }[];
}

/** A route as one row: what `document.ts` turns into an operation. */
export interface Operation {
  readonly method: Method;
  /** In OpenAPI's notation: `/v1/models/{id}`. */
  readonly path: string;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  /** The scope of the key; null: no key. */
  readonly scope: "infer" | "admin" | null;
  readonly parameters?: readonly Parameter[];
  readonly body?: { readonly required: boolean; readonly schema: Schema; readonly example: unknown };
  readonly answers: readonly Answer[];
  /** Statuses of the errors, in addition to those of every route. */
  readonly errors: readonly number[];
  readonly errorShape?: ErrorShape;
  /** Headers of the success answer, in addition to those of every answer. */
  readonly headers?: readonly string[];
}

export interface Answer {
  readonly status: number;
  readonly description: string;
  readonly content: Readonly<Record<string, Content>>;
}

export const text: Schema = { type: "string" };
export const integer: Schema = { type: "integer" };
export const named = (description: string, schema: Schema): Schema => ({ ...schema, description });

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** An object with these properties, all of them required unless named. */
export function object(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema {
  return {
    type: "object",
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
  };
}

export const list = (items: Schema): Schema => ({ type: "array", items });

/** The same schema, or null. */
export function nullable(schema: Schema): Schema {
  return typeof schema["type"] === "string"
    ? { ...schema, type: [schema["type"], "null"] }
    : { anyOf: [schema, { type: "null" }] };
}

export const json = (schema: Schema, example?: unknown): Readonly<Record<string, Content>> => ({
  "application/json": example === undefined ? { schema } : { schema, example },
});
