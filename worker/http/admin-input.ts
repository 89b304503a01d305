// Validates an operator's body or query against a schema; a refusal names the wrong fields.
import type * as z from "zod/mini";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { fieldPath } from "../../shared/fleet.ts";
import { KEY_FIELDS } from "../../shared/keys.ts";
import { MAX_ADMIN_BODY_BYTES } from "../../shared/limits.ts";
import { fieldFault } from "../../shared/field-fault.ts";
import { parseJsonObject, readBody } from "./json-body.ts";

/** Faults in one refusal. */
const MAX_FAULTS = 5;

/** Characters of an unknown field's name in a message; our own names are shorter. */
const MAX_NAME = 40;

/** A request's body. A request without one, as `curl -X POST` sends it, has an empty object. */
export async function readAdminBody(request: Request): Promise<Result<Uint8Array>> {
  const isAbsent = request.headers.get("content-type") === null && isEmpty(request);
  return isAbsent
    ? ok(new TextEncoder().encode("{}"))
    : readBody(request, { maxBytes: MAX_ADMIN_BODY_BYTES });
}

export function parseAdminBody<T>(bytes: Uint8Array, schema: z.ZodMiniType<T>): Result<T> {
  const parsed = parseJsonObject(bytes, KEY_FIELDS);
  return parsed.ok ? checkInput(schema, parsed.value, "body") : parsed;
}

/** A request's query: each name at most once, and only names that the route accepts. */
export function readAdminQuery<T>(url: string, schema: z.ZodMiniType<T>): Result<T> {
  const query: Record<string, string> = {};
  for (const [name, value] of new URL(url).searchParams) {
    if (Object.hasOwn(query, name)) {
      const param = printable(name);
      return refuse("invalid_request", `${param}: must not be repeated in the query.`, { param });
    }
    query[name] = value;
  }
  return checkInput(schema, query, "query");
}

function checkInput<T>(schema: z.ZodMiniType<T>, input: unknown, what: "body" | "query"): Result<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return ok(parsed.data);
  const faults = parsed.error.issues.map((issue) => faultOf(issue, input));
  const message = faults
    .slice(0, MAX_FAULTS)
    .map(({ param, message }) => `${param ?? `the ${what}`}: ${message}.`)
    .join(" ");
  return refuse("invalid_request", message, { param: faults[0]?.param });
}

function faultOf(issue: z.core.$ZodIssue, input: unknown): { param: string | undefined; message: string } {
  const { path, message } = fieldFault(issue, input);
  const unknown = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1).map(printable) : [];
  const parts = [...path, ...unknown];
  return { param: parts.length === 0 ? undefined : fieldPath(parts), message };
}

/** An operator's own name for a field, in a form that is safe in a message. */
function printable(name: string): string {
  return name.replaceAll(/[^\x21-\x7e]/g, "?").slice(0, MAX_NAME);
}

function isEmpty(request: Request): boolean {
  const length = request.headers.get("content-length");
  return request.body === null || length === "0";
}
