// Makes keys with limits, records the attempts of an SDK, and holds the schema that tests of client SDKs share.
import { expect } from "vitest";
import { z } from "zod";
import { fetchEdge, type Stack } from "./ask.ts";

/** The arguments of the tool that the tests offer, and the answer that they request. */
export const VISIT = z.strictObject({ day: z.enum(["mon", "tue"]), floor: z.int().min(1) });

export const QUESTION = "Please book a visit for my chest pain on Tuesday";

/** One request of an SDK, and what it got. */
export interface Attempt {
  readonly atMs: number;
  readonly answeredAtMs: number;
  readonly status: number;
  readonly headers: Headers;
}

/** A `fetch` for an SDK that keeps its attempts; `onAnswer` runs before the SDK reads the answer. */
export function watchedFetch(onAnswer: (attempt: Attempt) => Promise<void> | void = () => {}): {
  readonly attempts: Attempt[];
  readonly fetch: typeof fetch;
} {
  const attempts: Attempt[] = [];
  return {
    attempts,
    fetch: async (input, init) => {
      const atMs = performance.now();
      const { status, headers, body } = await fetch(input, init);
      const attempt = { atMs, answeredAtMs: performance.now(), status, headers };
      attempts.push(attempt);
      await onAnswer(attempt);
      return new Response(body, { status, headers });
    },
  };
}

/** Every attempt but the last was refused with `status`, and the next came no sooner than its Retry-After. */
export function expectRetriedInTime(attempts: readonly Attempt[], status: number): void {
  expect(attempts.length).toBeGreaterThan(1);
  for (const [at, { headers, status: got, answeredAtMs }] of attempts.slice(0, -1).entries()) {
    expect(got).toBe(status);
    const waitMs = Number(headers.get("retry-after-ms"));
    expect(waitMs).toBeGreaterThan(0);
    // A timer of Node's may end up to a millisecond early.
    expect((attempts[at + 1]?.atMs ?? 0) - answeredAtMs).toBeGreaterThanOrEqual(waitMs - 1);
  }
  expect(attempts.at(-1)?.status).toBe(200);
}

interface Limits {
  readonly perSecond?: number;
  readonly concurrent?: number;
  readonly tokensPerMonth?: number;
}

export async function newKey(stack: Stack, limits: Limits): Promise<string> {
  const response = await fetchEdge(`${stack.edgeUrl}/admin/keys`, {
    method: "POST",
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    body: JSON.stringify({ name: "a clinic", limits, addressExempt: true }),
  });
  expect(response.status).toBe(201);
  return ((await response.json()) as { key: string }).key;
}

/** The error that a call ends with. */
export const failureOf = async (work: PromiseLike<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );
