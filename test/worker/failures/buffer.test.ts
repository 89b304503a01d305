// Failures sent from an isolate to the fleet object: bounded, batched, and never delaying an answer.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Failure } from "../../../shared/failures.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { FLUSH_LIMITS, noteFailure, type RequestContext } from "../../../worker/failures/buffer.ts";
import { FailureSampler } from "../../../worker/failures/sampling.ts";
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

describe("a flush", () => {
  it("has ten failures of a kind one by one and counts the others", () => {
    const sampler = new FailureSampler(FLUSH_LIMITS);
    for (let at = 0; at < 1_000; at += 1) sampler.add(failure(`req_${at}`));
    sampler.add(failure("req_other", { key: null }));
    const { failures, floods } = sampler.take();
    expect(failures.map(({ requestId }) => requestId)).toEqual([
      ...Array.from({ length: 10 }, (_, at) => `req_${at}`),
      "req_other",
    ]);
    expect(floods).toMatchObject([{ code: "overloaded", key: "key-a", count: 990 }]);
    expect(sampler.take()).toEqual({ failures: [], floods: [] });
  });

  it("is bounded, however many kinds there are, and counts all failures", () => {
    const sampler = new FailureSampler(FLUSH_LIMITS);
    for (let at = 0; at < 5_000; at += 1) sampler.add(failure(`req_${at}`, { key: `key-${at}` }));
    const { failures, floods } = sampler.take();
    expect(failures).toHaveLength(100);
    expect(floods.length).toBeLessThanOrEqual(101);
    expect(floods.reduce((sum, { count }) => sum + count, 0)).toBe(4_900);
  });
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
