// The failure sampler: failures that are passed on one by one, and failures that are only counted.
import { describe, expect, it } from "vitest";
import type { Failure } from "../../../shared/failures.ts";
import { FLUSH_LIMITS } from "../../../worker/failures/refusal-log.ts";
import { FailureSampler } from "../../../worker/failures/sampling.ts";

const failure = (requestId: string, more: Partial<Failure> = {}): Failure => ({
  requestId,
  at: 1_800_000_000_000,
  code: "overloaded",
  route: "/v1/chat/completions",
  key: "key-a",
  cause: null,
  ...more,
});

describe("a batch of failures", () => {
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

  it("keeps counting a kind over several batches, until a new period starts", () => {
    const sampler = new FailureSampler({ perKind: 3, perBatch: 2, kinds: 10 });
    const batch = () => {
      for (let at = 0; at < 4; at += 1) sampler.add(failure(`req_${at}`));
      const { failures, floods } = sampler.take();
      return [failures.length, floods.reduce((sum, { count }) => sum + count, 0)];
    };
    expect([batch(), batch(), batch()]).toEqual([
      [2, 2],
      [1, 3],
      [0, 4],
    ]);
    sampler.startPeriod();
    expect(batch()).toEqual([2, 2]);
  });
});
