// Reads a request's body once and returns the model call. No later step parses the body again; its bytes are forwarded
// unchanged.
import type { Format } from "../../shared/call-headers.ts";
import type { Dialect } from "../../shared/dialects.ts";
import { ok, refuse, type Result } from "../../shared/errors.ts";
import type { Capability } from "../../shared/fleet.ts";
import { checkChatBody, FIELD_NAMES, type ChatBody } from "./chat-body.ts";
import { parseJsonObject } from "../http/json-body.ts";

export interface ModelCall {
  readonly dialect: Dialect;
  readonly format: Format;
  /** The target that the client named, in order of precedence; null if absent. */
  readonly modelPort: number | null;
  readonly agentType: string | null;
  readonly model: string | null;
  readonly stream: boolean;
  /** The client's `"fallback": false`. */
  readonly mayFallBack: boolean;
  readonly choices: number;
  /** Requested tokens; null for the model's maximum. */
  readonly maxTokens: number | null;
  readonly continuable: boolean;
  /** Required capabilities, with the field that requires each. */
  readonly needs: readonly { readonly capability: Capability; readonly param: string | undefined }[];
  /** The client's own name for its end user or conversation; only its HMAC leaves the edge. */
  readonly scopeName: string | null;
}

/** Reads a chat request from its bytes. */
export function readChatCall(bytes: Uint8Array): Result<ModelCall> {
  const parsed = parseJsonObject(bytes, FIELD_NAMES);
  if (!parsed.ok) return parsed;
  const checked = checkChatBody(parsed.value);
  return checked.ok ? toCall(checked.value) : checked;
}

function toCall(body: ChatBody): Result<ModelCall> {
  const modelPort = body.model_port == null ? null : Number(body.model_port);
  if (modelPort !== null && (modelPort < 1 || modelPort > 65_535)) {
    return refuse("invalid_request", `model_port: must be a port from 1 to 65535; got ${modelPort}.`, {
      param: "model_port",
    });
  }
  return ok({
    dialect: "chat",
    format:
      body.format ??
      (body.agent_type != null || modelPort !== null || body.model == null ? "mediczy" : "openai"),
    modelPort,
    agentType: body.agent_type ?? null,
    model: body.model ?? null,
    stream: body.stream ?? false,
    mayFallBack: body.fallback ?? true,
    choices: body.n ?? 1,
    maxTokens: requestedTokens(body),
    continuable: isContinuable(body),
    needs: [{ capability: "chat", param: undefined }, ...mediaOf(body)],
    scopeName: scopeName(body),
  });
}

/** llama-server's precedence: `n_predict`, then OpenAI's newer name, then its older one (transcript `max-tokens-aliases`). */
function requestedTokens(body: ChatBody): number | null {
  const tokens = body.n_predict ?? body.max_completion_tokens ?? body.max_tokens ?? null;
  return tokens !== null && tokens > 0 ? tokens : null;
}

/** Whether another server of the model could continue the answer: only plain text can be continued. */
function isContinuable(body: ChatBody): boolean {
  return (
    (body.n ?? 1) === 1 &&
    (body.tools ?? []).length === 0 &&
    (body.response_format == null || body.response_format.type === "text") &&
    body.json_schema == null &&
    body.grammar == null &&
    body.logprobs !== true &&
    (body.top_logprobs ?? 0) === 0 &&
    (body.n_probs ?? 0) === 0
  );
}

/** The first of these fields that is present and not empty. */
function scopeName(body: ChatBody): string | null {
  const user = body.metadata?.["user_id"];
  const names = [
    body.prompt_cache_key,
    body.session_id,
    body.user,
    body.safety_identifier,
    typeof user === "string" ? user : null,
  ];
  return names.find((name) => name != null && name !== "") ?? null;
}

/** The first content part of each media type. */
function mediaOf(body: ChatBody): ModelCall["needs"] {
  const found = new Map<Capability, string>();
  for (const [index, message] of body.messages.entries()) {
    if (!Array.isArray(message.content)) continue;
    for (const [part, { type }] of message.content.entries()) {
      const capability = MEDIA[type];
      if (capability !== undefined && !found.has(capability))
        found.set(capability, `messages[${index}].content[${part}]`);
    }
  }
  return [...found].map(([capability, param]) => ({ capability, param }));
}

const MEDIA: Readonly<Record<string, Capability>> = { image_url: "vision", input_audio: "audio" };
