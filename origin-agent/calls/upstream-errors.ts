// Translates a llama-server error into our refusal. llama-server's own text is never passed on: it can echo a prompt.
import * as z from "zod";
import type { Refusal } from "../../shared/errors.ts";

/** `{"error":{"code":400,"message":"…","type":"…"}}`, as in the transcripts; only the fields that we read. */
const UpstreamError = z.object({
  error: z.object({
    type: z.string().optional(),
    message: z.string().optional(),
    n_prompt_tokens: z.int().optional(),
    n_ctx: z.int().optional(),
  }),
});

/** A loading port doesn't fail the call: this server or another one may still answer it. */
export type UpstreamVerdict =
  | { readonly kind: "loading" }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * Reads an answer whose status isn't 200.
 * @param body its first bytes, which may be malformed.
 * @param suspects the request's fields that llama-server can refuse, as the edge found them.
 */
export function readUpstreamError(
  status: number,
  body: Buffer,
  port: number,
  suspects: readonly string[] = [],
): UpstreamVerdict {
  const error = parse(body)?.error ?? {};
  const internal = `port ${port} answered ${status}${error.type === undefined ? "" : ` ${safeType(error.type)}`}`;
  if (status === 503) return { kind: "loading" };
  if (error.type === "exceed_context_size_error") {
    const size = error.n_prompt_tokens === undefined ? "" : ` of ${error.n_prompt_tokens} tokens`;
    const context = error.n_ctx === undefined ? "" : ` of ${error.n_ctx} tokens`;
    return refused(
      "context_length_exceeded",
      `The prompt${size} does not fit the model's context${context}. Shorten it.`,
      internal,
    );
  }
  // If this build of llama-server lacks the route, leaving out a field doesn't help the client.
  if (status === 501 || status === 404 || status === 405) {
    return refused(
      "not_supported_by_model",
      "This model does not support this request. GET /v1/models lists what each model supports.",
      internal,
    );
  }
  const named = namedField(error.message ?? "");
  const isTheirs = status >= 400 && status < 500 && status !== 401 && status !== 403;
  // llama-server answers 500 to tools that it can't read.
  if (isTheirs || named !== null) {
    const fields = named !== null ? [named] : suspects;
    const [param] = fields.length === 1 ? fields : [];
    return refused("invalid_request", fieldText(fields), internal, param);
  }
  return refused(
    "upstream_failed",
    "The model server failed on this request. Send it again; if it fails again, the cause is the request itself.",
    internal,
  );
}

function refused(code: Refusal["code"], message: string, internal: string, param?: string): UpstreamVerdict {
  return { kind: "refused", refusal: { code, message, internal, param } };
}

/** The starts of llama-server's messages that name a field. They are its own words; what the client sent follows them. */
const FIELD_MESSAGES: readonly (readonly [start: string, field: string])[] = [
  ["Failed to parse tools:", "tools"],
  ["Invalid tool_choice:", "tool_choice"],
  ["Cannot use custom grammar constraints with tools.", "grammar"],
  ["Failed to initialize samplers: failed to parse grammar", "grammar"],
  ["response_format type must be one of", "response_format"],
];

/** A field that llama-server's own checks name (transcript `n-capped`): one of its constants. */
const CHECKED_FIELD = /^Field '([a-z_]{1,40})':/;

function namedField(message: string): string | null {
  const known = FIELD_MESSAGES.find(([start]) => message.startsWith(start));
  return known?.[1] ?? CHECKED_FIELD.exec(message)?.[1] ?? null;
}

function fieldText(fields: readonly string[]): string {
  if (fields.length === 0) {
    return (
      "The model server rejected a field of this request, most likely a schema, a grammar, a tool or a chat template's input. " +
      "Leave out optional fields one by one to find it."
    );
  }
  const names = fields.map((field) => `\`${field}\``).join(" or ");
  return `The model server rejected this request, most likely its ${names}. Correct or simplify that field, or leave it out.`;
}

function parse(body: Buffer): z.infer<typeof UpstreamError> | null {
  try {
    const parsed = UpstreamError.safeParse(JSON.parse(body.toString("utf8")));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** A `type` is one of llama-server's constants; anything that doesn't look like one isn't logged. */
function safeType(type: string): string {
  return /^[a-z_]{1,40}$/.test(type) ? type : "(unknown type)";
}
