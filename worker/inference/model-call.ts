// Reads a request's body once and returns the model call. No later step parses the body again; its bytes are forwarded
// unchanged.
import type { Format } from "../../shared/call-headers.ts";
import { DIALECTS, type Dialect } from "../../shared/dialects.ts";
import { ok, type Result } from "../../shared/errors.ts";
import { parseJsonObject } from "../http/json-body.ts";
import type { BodyFacts, Need } from "./bodies/fields.ts";
import { BODIES, FIELD_NAMES, type Target } from "./bodies/table.ts";
import { checkBody } from "./check-body.ts";

export interface ModelCall extends Omit<BodyFacts, "needs"> {
  readonly dialect: Dialect;
  readonly format: Format;
  /** The target that the client named, in order of precedence; null if absent. */
  readonly modelPort: number | null;
  readonly agentType: string | null;
  readonly model: string | null;
  /** The client's `"fallback": false`. */
  readonly mayFallBack: boolean;
  /** Required capabilities, with the field that requires each; the route itself requires the first. */
  readonly needs: readonly (Omit<Need, "param"> & { readonly param: string | undefined })[];
}

/** Reads a call from its bytes. */
export function readCall(dialect: Dialect, bytes: Uint8Array): Result<ModelCall> {
  const parsed = parseJsonObject(bytes, FIELD_NAMES);
  if (!parsed.ok) return parsed;
  const checked = checkBody(dialect, parsed.value);
  return checked.ok ? ok(toCall(dialect, checked.value)) : checked;
}

function toCall(dialect: Dialect, body: Target & { readonly format?: Format | null }): ModelCall {
  // The row's schema has checked the body, so its reader understands it.
  const facts = BODIES[dialect].facts(body as never);
  const modelPort = body.model_port == null ? null : Number(body.model_port);
  return {
    ...facts,
    dialect,
    format: dialect === "chat" ? chatFormat(body, modelPort) : "openai",
    modelPort,
    agentType: body.agent_type ?? null,
    model: body.model ?? null,
    mayFallBack: body.fallback ?? true,
    needs: [{ capability: DIALECTS[dialect].capability, param: undefined }, ...facts.needs],
  };
}

/** Mediczy's own format unless the body names a model in OpenAI's way alone. */
function chatFormat(body: Target & { readonly format?: Format | null }, modelPort: number | null): Format {
  const isMediczy = body.agent_type != null || modelPort !== null || body.model == null;
  return body.format ?? (isMediczy ? "mediczy" : "openai");
}
