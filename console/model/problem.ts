// What kept a question to the edge from being answered, in words an operator can act on.
import * as z from "zod";

export interface Problem {
  /** The error table's code; `network` and `unreadable` are the page's own. */
  readonly code: string;
  readonly message: string;
  readonly requestId: string | null;
  /** When the edge wants to be asked again, milliseconds; null where it doesn't say. */
  readonly retryAfterMs: number | null;
}

const ErrorAnswer = z.object({
  error: z.object({ message: z.string(), code: z.string(), request_id: z.string().optional() }),
});

/** Reads an error as every answer and every broken stream has it; null where this is none. */
export function errorIn(body: unknown): Problem | null {
  const parsed = ErrorAnswer.safeParse(body);
  if (!parsed.success) return null;
  const { message, code, request_id: requestId } = parsed.data.error;
  return { code, message, requestId: requestId ?? null, retryAfterMs: null };
}

export function refusal(status: number, headers: Headers, body: unknown): Problem {
  const said = errorIn(body);
  const retryAfterMs = Number(headers.get("retry-after-ms") ?? Number.NaN);
  return {
    code: said?.code ?? `status ${status}`,
    message:
      said?.message ??
      `The answer was ${status}, and without a word of ours: something before the edge spoke.`,
    requestId: said?.requestId ?? headers.get("x-request-id"),
    retryAfterMs: Number.isFinite(retryAfterMs) ? retryAfterMs : null,
  };
}

export const NETWORK: Problem = {
  code: "network",
  message: "The edge can't be reached. Is this machine online?",
  requestId: null,
  retryAfterMs: null,
};

export const UNREADABLE: Problem = {
  code: "unreadable",
  message: "The edge answered what this page can't read. One of them is newer: reload the page.",
  requestId: null,
  retryAfterMs: null,
};

/** Why a key doesn't sign in. */
export function signInWords(problem: Problem): string {
  switch (problem.code) {
    case "missing_key":
    case "invalid_key":
      return "The edge doesn't know this key. It may have been revoked, or lost a character on its way here.";
    case "expired_key":
      return "This key has expired. Sign in with another one.";
    case "scope_missing":
      return "This key is good, but it may not look after the fleet: it lacks the scope “admin”.";
    case "too_many_failed_keys":
      return "Too many wrong keys came from your address. Wait a minute, then try again.";
    default:
      return problem.message;
  }
}

/** Whether the key itself was refused, so that asking again can't help. */
export function refusesKey({ code }: Problem): boolean {
  return ["missing_key", "invalid_key", "expired_key", "scope_missing"].includes(code);
}
