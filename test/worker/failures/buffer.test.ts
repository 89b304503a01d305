// Failures sent from an isolate to the fleet object: bounded, batched, and never delaying an answer.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Failure } from "../../../shared/failures.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { noteFailure, type RequestContext } from "../../../worker/failures/buffer.ts";
import { flushesEnd } from "../support/flushes.ts";
import { untilHolds } from "../support/until.ts";

const failure = (requestId: string, more: Partial<Failure> = {}): Failure => ({
  requestId,
  at: Date.now(),
  code: "overloaded",
  route: "/v1/chat/completions",
  key: "key-a",
  cause: null,
  ...more,
});

describe("a failed call", () => {
  /** A request's context, and the work that was passed to its waitUntil. */
  function request(): RequestContext & { readonly work: Promise<unknown>[] } {
    const work: Promise<unknown>[] = [];
    return { env, work, executionCtx: { waitUntil: (promise) => void work.push(promise) } };
  }

  it("reaches the store within seconds, in one call with the others of its second", async () => {
    await flushesEnd();
    const context = request();
    const ids = Array.from({ length: 5 }, () => `req_${crypto.randomUUID()}`);
    for (const id of ids) noteFailure(context, failure(id, { key: ids[0] ?? null }));
    expect(context.work).toHaveLength(1);
    await untilHolds(async () => {
      for (const id of ids) expect(await fleetObject(env).failure(id)).not.toBeNull();
    });
  });

  it("throws nothing if the object doesn't answer", async () => {
    const work: Promise<unknown>[] = [];
    const noteFailures = async (): Promise<never> => Promise.reject(new Error("gone"));
    const broken = {
      env: { FLEET: { getByName: () => ({ noteFailures }) } },
      executionCtx: { waitUntil: (promise: Promise<unknown>) => void work.push(promise) },
    } as unknown as RequestContext;
    // This request's flush starts once no other is running.
    await untilHolds(() => {
      noteFailure(broken, failure("req_lost"));
      expect(work).toHaveLength(1);
    });
    await Promise.all(work);
    await isStored();
  });

  it("throws nothing if the request has no execution context", async () => {
    const broken = {
      env,
      get executionCtx(): never {
        throw new Error("no context");
      },
    } as unknown as RequestContext;
    noteFailure(broken, failure("req_lost"));
    await isStored();
  });

  /** The next failures still reach the store. */
  async function isStored(): Promise<void> {
    const id = `req_${crypto.randomUUID()}`;
    await untilHolds(async () => {
      noteFailure(request(), failure(id, { key: id }));
      expect(await fleetObject(env).failure(id)).not.toBeNull();
    });
  }
});
