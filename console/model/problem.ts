// The reason why a request to the edge failed, as text that an operator can act on.
import * as z from "zod";

export interface Problem {
  /** The error table's code; `network` and `unreadable` are the page's own. */
  readonly code: string;
  readonly message: string;
  readonly requestId: string | null;
  /** The pause that the edge requests before the next attempt; null if it sends none. */
  readonly retryAfterMs: number | null;
}

const ErrorAnswer = z.object({
  error: z.object({ message: z.string(), code: z.string(), request_id: z.string().optional() }),
});

/** The error in an answer or in an event of a broken stream; null if there is none. */
export function errorIn(body: unknown): Problem | null {
  const parsed = ErrorAnswer.safeParse(body);
  if (!parsed.success) return null;
  const { message, code, request_id: requestId } = parsed.data.error;
  return { code, message, requestId: requestId ?? null, retryAfterMs: null };
}

export function refusal(status: number, headers: Headers, body: unknown): Problem {
  const error = errorIn(body);
  const retryAfterMs = Number(headers.get("retry-after-ms") ?? Number.NaN);
  return {
    code: error?.code ?? `status ${status}`,
    message:
      error?.message ??
      `The answer was ${status} and didn't come from the edge: something in front of it answered.`,
    requestId: error?.requestId ?? headers.get("x-request-id"),
    retryAfterMs: Number.isFinite(retryAfterMs) ? retryAfterMs : null,
  };
}

/** A problem that the page itself found. */
export function pageProblem(code: string, message: string): Problem {
  return { code, message, requestId: null, retryAfterMs: null };
}

export const NETWORK = pageProblem(
  "network",
  "The edge can't be reached. Check that this machine is online.",
);

export const UNREADABLE = pageProblem(
  "unreadable",
  "This page can't read the edge's answer: their versions differ. Reload the page.",
);

/** Explains why a key was refused at sign-in. */
export function signInText(problem: Problem): string {
  switch (problem.code) {
    case "missing_key":
    case "invalid_key":
      return "The edge doesn't know this key. It may have been revoked, or copied incompletely.";
    case "expired_key":
      return "This key has expired. Sign in with another one.";
    case "scope_missing":
      return "This key is valid, but it can't manage the fleet: it lacks the scope “admin”.";
    case "too_many_failed_keys":
      return "Too many invalid keys were sent from your address. Wait a minute, then try again.";
    default:
      return problem.message;
  }
}

/** Whether the key itself was refused, so that a repeated request can't succeed. */
export function isKeyRefused({ code }: Problem): boolean {
  return ["missing_key", "invalid_key", "expired_key", "scope_missing"].includes(code);
}
