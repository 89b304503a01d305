// What a llama-server's refusal means to our client. Its own text never passes: it can echo a prompt.
import * as z from "zod";
import type { Refusal } from "../../shared/errors.ts";

/** `{"error":{"code":400,"message":"…","type":"…"}}`, as the transcripts show; only what we read. */
const UpstreamError = z.object({
  error: z.object({
    type: z.string().optional(),
    n_prompt_tokens: z.int().optional(),
    n_ctx: z.int().optional(),
  }),
});

/** A port that is loading is no failure of the call: it may still be answered, by it or by another. */
export type UpstreamVerdict =
  | { readonly kind: "loading" }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * Reads an answer whose status isn't 200.
 * @param status llama-server's.
 * @param body its first bytes; any rubbish is fine.
 */
export function readUpstreamError(status: number, body: Buffer, port: number): UpstreamVerdict {
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
  // A route that this build of llama-server lacks is no field the client could leave out.
  if (status === 501 || status === 404 || status === 405) {
    return refused(
      "not_supported_by_model",
      "This model cannot do what was asked of it. GET /v1/models says what each one can.",
      internal,
    );
  }
  if (status >= 400 && status < 500 && status !== 401 && status !== 403) {
    return refused(
      "invalid_request",
      "The model server did not accept a field of this request, most likely a schema, a grammar, a tool or a chat template's input. " +
        "Leave out optional fields to find which.",
      internal,
    );
  }
  return refused(
    "upstream_failed",
    "The model server failed on this request. Ask again; if it fails again, the request is what it fails on.",
    internal,
  );
}

function refused(code: Refusal["code"], message: string, internal: string): UpstreamVerdict {
  return { kind: "refused", refusal: { code, message, internal } };
}

function parse(body: Buffer): z.infer<typeof UpstreamError> | null {
  try {
    const parsed = UpstreamError.safeParse(JSON.parse(body.toString("utf8")));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** A `type` is a constant of llama-server's; anything that doesn't look like one isn't logged. */
function safeType(type: string): string {
  return /^[a-z_]{1,40}$/.test(type) ? type : "(unknown type)";
}
