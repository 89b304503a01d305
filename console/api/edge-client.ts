// Sends requests to the edge with the operator's key. The key is kept only in this closure: not in storage, in a URL
// or in the page.
import type * as z from "zod/mini";
import { NETWORK, refusal, isKeyRefused, UNREADABLE, type Problem } from "../model/problem.ts";

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem };

export interface EdgeClient {
  get: <T>(path: string, schema: z.ZodMiniType<T>) => Promise<Outcome<T>>;
  send: <T>(
    method: "POST" | "PATCH" | "DELETE",
    path: string,
    body: unknown,
    schema: z.ZodMiniType<T>,
    timeoutMs?: number,
  ) => Promise<Outcome<T>>;
  /** The response, for streams; its status is 2xx if `ok`. */
  open: (
    path: string,
    init: { readonly body?: unknown; readonly signal: AbortSignal },
  ) => Promise<Outcome<Response>>;
}

/** Time limit of a request that doesn't stream. */
const TIMEOUT_MS = 15_000;

/** @param onKeyRefused called when the key is no longer a valid admin key. */
export function edgeClient(key: string, onKeyRefused: (problem: Problem) => void): EdgeClient {
  const send = async (
    path: string,
    method: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Outcome<Response>> => {
    try {
      const response = await fetch(path, {
        method,
        signal,
        // The key is the only credential: no cookies are sent.
        credentials: "omit",
        cache: "no-store",
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (response.ok) return { ok: true, value: response };
      const errorBody: unknown = await response.json().catch(() => null);
      const problem = refusal(response.status, response.headers, errorBody);
      if (path.startsWith("/admin/") && isKeyRefused(problem)) onKeyRefused(problem);
      return { ok: false, problem };
    } catch {
      return { ok: false, problem: NETWORK };
    }
  };
  const request = async <T>(
    path: string,
    method: string,
    body: unknown,
    schema: z.ZodMiniType<T>,
    timeoutMs = TIMEOUT_MS,
  ): Promise<Outcome<T>> => {
    const answer = await send(path, method, body, AbortSignal.timeout(timeoutMs));
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
    get: (path, schema) => request(path, "GET", undefined, schema),
    send: (method, path, body, schema, timeoutMs) =>
      request(path, method, body ?? undefined, schema, timeoutMs),
    open: (path, { body, signal }) => send(path, body === undefined ? "GET" : "POST", body, signal),
  };
}

/** Whether a key fits in a header: copying may have added other characters. */
export function isSendable(key: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(key);
}
