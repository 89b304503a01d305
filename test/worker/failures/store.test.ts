// The failure store in the real fleet object: what it stores, for how long, and the effect of a flood.
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { FAILURES_KEPT, FAILURES_KEPT_MS, type Failure } from "../../../shared/failures.ts";
import { SAMPLING_LIMITS } from "../../../worker/fleet/object/fleet-object.ts";
import { linked, newFleet, type FleetStub } from "../support/agents.ts";
import { stopClock } from "../support/edge.ts";
import { untilHolds } from "../support/until.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");

const failure = (requestId: string, more: Partial<Failure> = {}): Failure => ({
  requestId,
  at: Date.now(),
  code: "overloaded",
  route: "/v1/chat/completions",
  key: "key-a",
  cause: "box north",
  agentType: null,
  ...more,
});

async function stored(fleet: FleetStub): Promise<number> {
  return runInDurableObject(
    fleet,
    (_, { storage }) => storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM failures").one().n,
  );
}

beforeEach(() => void stopClock(NOON));

describe("the store of failures", () => {
  it("finds a failed request, also after an eviction, and no other", async () => {
    const fleet = newFleet();
    const [one, two] = [failure("req_1"), failure("req_2", { key: null, cause: null })];
    await fleet.noteFailures([one, two], []);
    await evictDurableObject(fleet);
    expect([await fleet.failure("req_1"), await fleet.failure("req_2")]).toEqual([one, two]);
    expect(await fleet.failure("req_3")).toBeNull();
  });

  it("keeps the refusal's names and numbers: agent type, field, model, port, seconds", async () => {
    const fleet = newFleet();
    const server = { model: "Model-9000", port: 9000 };
    const facts = { agentType: "Alpha", param: "messages[0].role", ...server, retryAfterS: 9 };
    const [all, one] = [failure("req_1", facts), failure("req_2", { port: 9000 })];
    await fleet.noteFailures([all, one], []);
    await evictDurableObject(fleet);
    expect([await fleet.failure("req_1"), await fleet.failure("req_2")]).toEqual([all, one]);
  });

  it("adds the column for them to the table of an earlier release, whose rows stay", async () => {
    const fleet = newFleet();
    await fleet.noteFailures([failure("req_old")], []);
    await runInDurableObject(fleet, (_, { storage }) => {
      storage.sql.exec("ALTER TABLE failures DROP COLUMN facts");
    });
    await evictDurableObject(fleet);
    await fleet.noteFailures([failure("req_new", { retryAfterS: 2 })], []);
    expect(await fleet.failure("req_old")).toEqual(failure("req_old"));
    expect(await fleet.failure("req_new")).toEqual(failure("req_new", { retryAfterS: 2 }));
  });

  it("has no agent type for a failure that an isolate of an earlier release sent", async () => {
    const fleet = newFleet();
    const { agentType: _none, ...older } = failure("req_1", { port: 9000 });
    await fleet.noteFailures([older], []);
    expect(await fleet.failure("req_1")).toEqual({ ...older, agentType: null });
  });

  it("has the agent type of a failure that a box reports, none if its agent is of an earlier release", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    const call = {
      keyId: "key-a",
      code: "upstream_failed",
      route: "/v1/chat/completions",
      port: 9000,
      agoMs: 5,
    };
    const calls = [
      { ...call, requestId: "req_1", agentType: "Alpha" },
      { ...call, requestId: "req_2" },
    ];
    agent.send({ t: "failed", calls });
    await untilHolds(async () =>
      expect(await fleet.failure("req_1")).toMatchObject({ agentType: "Alpha", at: NOON - 5 }),
    );
    expect(await fleet.failure("req_2")).toMatchObject({ agentType: null, port: 9000 });
  });

  it("stores one failure for each request: the last one", async () => {
    const fleet = newFleet();
    await fleet.noteFailures([failure("req_1")], []);
    await fleet.noteFailures([failure("req_1", { code: "upstream_failed" })], []);
    expect(await fleet.failure("req_1")).toMatchObject({ code: "upstream_failed" });
    expect(await stored(fleet)).toBe(1);
  });

  it("lists our own failures however many of the callers' follow, also after an eviction", async () => {
    const fleet = newFleet();
    await fleet.noteFailures([failure("req_ours")], []);
    const callers = Array.from({ length: 200 }, (_, n) => failure(`req_${n}`, { code: "invalid_request" }));
    await fleet.noteFailures(callers, []);
    const listed = async () => {
      const { failures, ours } = await fleet.state(["north"]);
      return [
        failures.some(({ requestId }) => requestId === "req_ours"),
        ours?.map(({ requestId }) => requestId),
      ];
    };
    expect(await listed()).toEqual([false, ["req_ours"]]);
    await evictDurableObject(fleet);
    expect(await listed()).toEqual([false, ["req_ours"]]);
    await fleet.noteFailures([failure("req_next", { code: "a_future_code" })], []);
    expect((await listed())[1]).toEqual(["req_next", "req_ours"]);
  });

  it("counts the failures of the last hour by code and key, with those that were only counted", async () => {
    const fleet = newFleet();
    const flood = { at: NOON, code: "rate_limited_key", route: "/", key: "key-b", count: 900 };
    const failures = [failure("req_1"), failure("req_2", { code: "rate_limited_key", key: "key-b" })];
    await fleet.noteFailures([...failures, failure("req_3", { key: null })], [flood]);
    expect((await fleet.state(["north"])).groups).toEqual([
      { code: "rate_limited_key", key: "key-b", count: 901, lastAt: NOON },
      { code: "overloaded", key: null, count: 1, lastAt: NOON },
      { code: "overloaded", key: "key-a", count: 1, lastAt: NOON },
    ]);
    vi.setSystemTime(NOON + 2 * 60 * 60 * 1000);
    expect((await fleet.state(["north"])).groups).toEqual([]);
  });

  it("deletes failures after a day", async () => {
    const fleet = newFleet();
    await fleet.noteFailures(
      [failure("req_1")],
      [{ at: NOON, code: "internal", route: "/", key: null, count: 7 }],
    );
    vi.setSystemTime(NOON + FAILURES_KEPT_MS);
    expect(await fleet.failure("req_1")).toBeNull();
    await fleet.noteFailures([failure("req_2")], []);
    expect(await stored(fleet)).toBe(1);
    vi.setSystemTime(NOON + 2 * FAILURES_KEPT_MS);
    await fleet.noteFailures([], []);
    expect(await fleet.floods()).toEqual([]);
  });

  it("stores the newest ten thousand", async () => {
    const fleet = newFleet();
    for (let batch = 0; batch < 26; batch += 1)
      await fleet.noteFailures(
        Array.from({ length: 400 }, (_, at) =>
          failure(`req_${batch}_${at}`, { key: `key-${batch}-${at % 10}` }),
        ),
        [],
      );
    expect(await stored(fleet)).toBe(FAILURES_KEPT);
    expect(await fleet.failure("req_0_0")).toBeNull();
    expect(await fleet.failure("req_25_399")).not.toBeNull();
  });

  it("stores up to a limit of one kind in a minute and counts the others, so that a flood evicts no other failures", async () => {
    const fleet = newFleet();
    await fleet.noteFailures([failure("req_other", { key: "key-b" })], []);
    for (let batch = 0; batch < 40; batch += 1)
      await fleet.noteFailures(
        Array.from({ length: 400 }, (_, at) => failure(`req_${batch}_${at}`)),
        [],
      );
    expect(await stored(fleet)).toBe(SAMPLING_LIMITS.perKind + 1);
    expect(await fleet.floods()).toMatchObject([
      { code: "overloaded", key: "key-a", count: 16_000 - SAMPLING_LIMITS.perKind },
    ]);
    vi.setSystemTime(NOON + 60_000);
    await fleet.noteFailures([failure("req_next")], []);
    expect(await fleet.failure("req_next")).not.toBeNull();
    expect(await fleet.failure("req_other")).not.toBeNull();
  });

  it("sums the isolates' counts, in bounded rows", async () => {
    const fleet = newFleet();
    const flood = (at: number, count: number) => ({
      at: Date.now(),
      code: "not_found",
      route: `/${at}`,
      key: null,
      count,
    });
    await fleet.noteFailures([], [flood(0, 900), flood(1, 5), flood(0, 100)]);
    for (let batch = 0; batch < 8; batch += 1)
      await fleet.noteFailures(
        [],
        Array.from({ length: 400 }, (_, at) => flood(batch * 400 + at, 1)),
      );
    // 2,000 kinds have their own row; the other 1,200 calls share one.
    expect(await fleet.floods()).toMatchObject([
      { route: "*", count: 1_200 },
      { route: "/0", count: 1_001 },
      { route: "/1", count: 6 },
    ]);
    const rows = await runInDurableObject(
      fleet,
      (_, { storage }) => storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM floods").one().n,
    );
    expect(rows).toBeLessThanOrEqual(2_001);
  });

  it("returns the newest fifty, newest first, and none older than a day", async () => {
    const fleet = newFleet();
    const failures = Array.from({ length: 60 }, (_, at) => failure(`req_${at}`, { key: `key-${at}` }));
    await fleet.noteFailures(failures, []);
    expect((await fleet.state([])).failures).toEqual(failures.slice(10).toReversed());
    vi.setSystemTime(NOON + FAILURES_KEPT_MS);
    expect((await fleet.state([])).failures).toEqual([]);
  });

  it("returns the codes of the last five minutes, including floods that continue", async () => {
    const fleet = newFleet();
    const flood = (code: string, count: number) => ({ at: Date.now(), code, route: "/", key: null, count });
    await fleet.noteFailures([failure("req_1")], [flood("invalid_key", 900), flood("internal", 7)]);
    vi.setSystemTime(NOON + 4 * 60_000);
    await fleet.noteFailures(
      [failure("req_2"), failure("req_3", { code: "no_box" })],
      [flood("internal", 1)],
    );
    expect((await fleet.state([])).byCode).toEqual([
      { code: "invalid_key", count: 900 },
      { code: "internal", count: 8 },
      { code: "overloaded", count: 2 },
      { code: "no_box", count: 1 },
    ]);
    vi.setSystemTime(NOON + 5 * 60_000);
    expect((await fleet.state([])).byCode).toEqual([
      { code: "internal", count: 8 },
      { code: "overloaded", count: 1 },
      { code: "no_box", count: 1 },
    ]);
  });

  it("accepts texts of any length, and at most five hundred failures in a call", async () => {
    const fleet = newFleet();
    const failures = Array.from({ length: 600 }, (_, at) =>
      failure(`req_${at}`, { key: `key-${at}`, cause: "x".repeat(5_000) }),
    );
    await fleet.noteFailures(failures, []);
    expect(await stored(fleet)).toBe(500);
    expect((await fleet.failure("req_0"))?.cause?.length).toBe(300);
  });
});
