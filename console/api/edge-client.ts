// Asks the edge with the operator's key. The key lives in this object's closure and nowhere else: no storage, no URL,
// no attribute of the page.
import type * as z from "zod";
import { NETWORK, refusal, refusesKey, UNREADABLE, type Problem } from "../model/problem.ts";

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem };

export interface EdgeClient {
  get: <T>(path: string, schema: z.ZodType<T>) => Promise<Outcome<T>>;
  send: <T>(
    method: "POST" | "PATCH" | "DELETE",
    path: string,
    body: unknown,
    schema: z.ZodType<T>,
  ) => Promise<Outcome<T>>;
  /** The bare answer, for those that stream; it is fine (2xx) where `ok`. */
  open: (
    path: string,
    init: { readonly body?: unknown; readonly signal: AbortSignal },
  ) => Promise<Outcome<Response>>;
}

/** How long a question that doesn't stream may take, milliseconds: past that the edge is as good as gone. */
const ANSWER_WITHIN_MS = 15_000;

/** @param onKeyRefused told when the key is no longer good for what operators do. */
export function edgeClient(key: string, onKeyRefused: (problem: Problem) => void): EdgeClient {
  const ask = async (
    path: string,
    method: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Outcome<Response>> => {
    try {
      const response = await fetch(path, {
        method,
        signal,
        // The key is all there is to know us by; no cookie of the host's goes along.
        credentials: "omit",
        cache: "no-store",
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (response.ok) return { ok: true, value: response };
      const said: unknown = await response.json().catch(() => null);
      const problem = refusal(response.status, response.headers, said);
      if (path.startsWith("/admin/") && refusesKey(problem)) onKeyRefused(problem);
      return { ok: false, problem };
    } catch {
      return { ok: false, problem: NETWORK };
    }
  };
  const whole = async <T>(
    path: string,
    method: string,
    body: unknown,
    schema: z.ZodType<T>,
  ): Promise<Outcome<T>> => {
    const answer = await ask(path, method, body, AbortSignal.timeout(ANSWER_WITHIN_MS));
    if (!answer.ok) return answer;
    try {
      const text = await answer.value.text();
      const parsed = schema.safeParse(text === "" ? null : JSON.parse(text));
      return parsed.success ? { ok: true, value: parsed.data } : { ok: false, problem: UNREADABLE };
    } catch {
      return { ok: false, problem: UNREADABLE };
    }
  };
  return {
    get: (path, schema) => whole(path, "GET", undefined, schema),
    send: (method, path, body, schema) => whole(path, method, body ?? undefined, schema),
    open: (path, { body, signal }) => ask(path, body === undefined ? "GET" : "POST", body, signal),
  };
}

/** Whether a key can be sent at all: what a header may not hold came along when it was copied. */
export function isSendable(key: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(key);
}
