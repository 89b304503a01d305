// Checks the body of a call against its dialect's schema. A refusal names the wrong field and the expected value, and the
// route that the body was probably meant for; it never contains a text of the client.
import { DIALECTS, type Dialect } from "../../shared/dialects.ts";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import { fieldPath } from "../../shared/fleet.ts";
import { fieldFault } from "../../shared/field-fault.ts";
import type { JsonObject } from "../http/json-body.ts";
import { BODIES, type Target } from "./bodies/table.ts";

/** Fields of llama-server that affect more than one call: its cache, its log, its adapters or its protocol. */
const REFUSED = new Set([
  "lora",
  "n_cache_reuse",
  "n_keep",
  "n_discard",
  "verbose",
  "return_tokens",
  "chat_format",
  "chat_parser",
  "sse_ping_interval",
]);

/** Misspelt fields of ours: a patient's question must not go silently to the wrong model. */
const NEAR_MISSES: Readonly<Record<string, "agent_type" | "model_port">> = {
  agentType: "agent_type",
  agent_types: "agent_type",
  agenttype: "agent_type",
  agent: "agent_type",
  modelPort: "model_port",
  modelport: "model_port",
  port: "model_port",
};

/** Validates a body; the refusal names the first wrong field. */
export function checkBody(dialect: Dialect, body: JsonObject): Result<Target> {
  const refused = refusedField(dialect, body);
  if (refused !== null) return refused;
  const { schema, subject } = BODIES[dialect];
  const parsed = schema.safeParse(body);
  if (parsed.success) return ok(parsed.data);
  const [issue] = parsed.error.issues;
  if (issue === undefined) return refuse("invalid_request", "The body is invalid.");
  const { path, message } = fieldFault(issue, body);
  const param = path.length === 0 ? subject : fieldPath(path);
  const hint = param === subject && body[subject] === undefined ? otherRoute(dialect, body) : "";
  return refuse("invalid_request", `${param}: ${message}.${hint}`, { param });
}

function refusedField(dialect: Dialect, body: JsonObject): ReturnType<typeof refuse> | null {
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    const isSpeculative = name.startsWith("speculative.");
    if (REFUSED.has(name) || isSpeculative) {
      const param = isSpeculative ? "speculative" : name;
      return refuse("invalid_request", `${param}: is not accepted by this service. Remove it.`, { param });
    }
    const right = dialect === "chat" && Object.hasOwn(NEAR_MISSES, name) ? NEAR_MISSES[name] : undefined;
    if (right !== undefined && body[right] == null) {
      return refuse("invalid_request", `${name}: is not a field of this API. Did you mean ${right}?`, {
        param: name,
      });
    }
    if (name === "format" && dialect !== "chat") {
      const text = `format: can be chosen on ${DIALECTS.chat.path} only; this route answers in its own format. Remove it.`;
      return refuse("invalid_request", text, { param: name });
    }
  }
  return null;
}

/** The route of a body, by the field that only its dialect has. */
const ROUTE_OF: readonly (readonly [field: string, dialect: Dialect])[] = [
  ["messages", "chat"],
  ["prompt", "completions"],
  ["input", "responses"],
  ["query", "rerank"],
  ["content", "tokenize"],
];

function otherRoute(dialect: Dialect, body: JsonObject): string {
  const found = ROUTE_OF.find(([field, other]) => other !== dialect && body[field] !== undefined);
  return found === undefined ? "" : ` A body with ${found[0]} belongs to POST ${DIALECTS[found[1]].path}.`;
}
