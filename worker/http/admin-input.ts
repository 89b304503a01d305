// What an operator sends, held to its schema: bodies and queries, with a refusal that names the field.
import type * as z from "zod";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { fieldPath } from "../../shared/fleet.ts";
import { KEY_FIELDS } from "../../shared/keys.ts";
import { MAX_ADMIN_BODY_BYTES } from "../../shared/limits.ts";
import { parseAnyObject, readBody } from "./json-body.ts";

/** Faults told in one refusal: more than anybody mends at once. */
const MAX_FAULTS = 5;

/** How much of a field's name is shown again: names of ours are shorter. */
const MAX_NAME = 40;

/** A request's body. None at all is an empty object: `curl -X POST` sends no more. */
export async function readAdminBody(request: Request): Promise<Result<Uint8Array>> {
  const isNothing = request.headers.get("content-type") === null && isEmpty(request);
  return isNothing ? ok(new TextEncoder().encode("{}")) : readBody(request, MAX_ADMIN_BODY_BYTES);
}

export function parseAdminBody<T>(bytes: Uint8Array, schema: z.ZodType<T>): Result<T> {
  const parsed = parseAnyObject(bytes, KEY_FIELDS);
  return parsed.ok ? checkInput(schema, parsed.value, "body") : parsed;
}

/** A request's query: each name once, none that the route doesn't take. */
export function readAdminQuery<T>(url: string, schema: z.ZodType<T>): Result<T> {
  const query: Record<string, string> = {};
  for (const [name, value] of new URL(url).searchParams) {
    if (Object.hasOwn(query, name)) {
      return refuse("invalid_request", `The query names ${shown(name)} twice.`, { param: shown(name) });
    }
    query[name] = value;
  }
  return checkInput(schema, query, "query");
}

function checkInput<T>(schema: z.ZodType<T>, input: unknown, what: "body" | "query"): Result<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return ok(parsed.data);
  const faults = parsed.error.issues.map(faultOf);
  const text = faults
    .slice(0, MAX_FAULTS)
    .map(({ path, message }) => `${path === "" ? `the ${what}` : path}: ${message}`)
    .join("; ");
  const [first] = faults;
  return refuse(
    "invalid_request",
    `${text}.`,
    first === undefined || first.path === "" ? {} : { param: first.path },
  );
}

function faultOf(issue: z.core.$ZodIssue): { readonly path: string; readonly message: string } {
  const unknown = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1).map(shown) : [];
  const parts = [...issue.path, ...unknown];
  const missing = issue.code === "invalid_type" && issue.message.endsWith("received undefined");
  const message = missing ? "is missing" : lowered(issue.message);
  return { path: parts.length === 0 ? "" : fieldPath(parts), message };
}

function lowered(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1).replace(/\.$/, "");
}

/** A client's own name for a field, in a form that fits a message. */
function shown(name: string): string {
  return name.replaceAll(/[^\x21-\x7e]/g, "?").slice(0, MAX_NAME);
}

function isEmpty(request: Request): boolean {
  const length = request.headers.get("content-length");
  return request.body === null || length === "0";
}
