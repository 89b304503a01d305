// Failures on their way from an isolate to the fleet object: bounded, together, and never in an answer's way.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { Failure } from "../../../shared/failures.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import { FailureBuffer, noteFailure, type RequestContext } from "../../../worker/failures/failure-log.ts";
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
  it("has ten of a kind one by one and counts the others", () => {
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

  it("is bounded, however many kinds there are, and counts them all", () => {
    const sampler = new FailureSampler(FLUSH_LIMITS);
    for (let at = 0; at < 5_000; at += 1) sampler.add(failure(`req_${at}`, { key: `key-${at}` }));
    const { failures, floods } = sampler.take();
    expect(failures).toHaveLength(100);
    expect(floods.length).toBeLessThanOrEqual(101);
    expect(floods.reduce((sum, { count }) => sum + count, 0)).toBe(4_900);
  });
});

describe("a failed call", () => {
  /** A request's context, and the work it was asked to wait for. */
  function request(): RequestContext & { readonly work: Promise<unknown>[] } {
    const work: Promise<unknown>[] = [];
    return { env, work, executionCtx: { waitUntil: (promise) => void work.push(promise) } };
  }

  it("is in the store within seconds, with others of its second in one call", async () => {
    await flushesEnd();
    const asked = request();
    const ids = Array.from({ length: 5 }, () => `req_${crypto.randomUUID()}`);
    for (const id of ids) noteFailure(asked, failure(id, { key: ids[0] ?? null }));
    expect(asked.work).toHaveLength(1);
    await untilHolds(async () => {
      for (const id of ids) expect(await fleetObject(env).failure(id)).not.toBeNull();
    });
  });

  it("hinders nobody where the object doesn't answer", async () => {
    const work: Promise<unknown>[] = [];
    const noteFailures = async (): Promise<never> => Promise.reject(new Error("gone"));
    const broken = {
      env: { FLEET: { getByName: () => ({ noteFailures }) } },
      executionCtx: { waitUntil: (promise: Promise<unknown>) => void work.push(promise) },
    } as unknown as RequestContext;
    // Once no other flush is on its way, this request's begins.
    await untilHolds(() => {
      noteFailure(broken, failure("req_lost"));
      expect(work).toHaveLength(1);
    });
    await Promise.all(work);
    await isKept();
  });

  it("hinders nobody where the request has no context", async () => {
    const broken = {
      env,
      get executionCtx(): never {
        throw new Error("no context");
      },
    } as unknown as RequestContext;
    noteFailure(broken, failure("req_lost"));
    await isKept();
  });

  /** The next failures reach the store all the same. */
  async function isKept(): Promise<void> {
    const id = `req_${crypto.randomUUID()}`;
    await untilHolds(async () => {
      noteFailure(request(), failure(id, { key: id }));
      expect(await fleetObject(env).failure(id)).not.toBeNull();
    });
  }
});
