import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { UsageReport } from "../../../shared/usage-report.ts";
import { ledgerObject } from "../../../worker/stubs.ts";
import { captureLog, edgeOf, errorOf, stopClock, type TestRequest } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { call } from "../support/usage.ts";

const ADMIN: TestRequest = { key: "dev-admin" };

/** A key with two booked calls. */
async function usedKey(): Promise<string> {
  // Both calls are in the same hour.
  stopClock(Date.now());
  const keyId = `k${crypto.randomUUID()}`;
  await ledgerObject(env).apply("north", keyId, 0, [
    call(1, { keyId }),
    call(2, { keyId, agentType: "Beta", outcome: "aborted", estimated: true }),
  ]);
  return keyId;
}

describe("GET /admin/usage", () => {
  it.each(["key", "model", "agent", "day", "hour"])(
    "returns one key's sums by %s, as the contract defines them",
    async (by) => {
      const keyId = await usedKey();
      const answer = await edgeOf(fleetOf())(`/admin/usage?key=${keyId}&by=${by}`, ADMIN);
      expect(answer.status).toBe(200);
      const report = UsageReport.parse(await answer.json());
      expect(report).toMatchObject({
        by,
        key: keyId,
        total: {
          calls: 2,
          complete: 1,
          promptTokens: 20,
          cachedTokens: 8,
          completionTokens: 10,
          estimatedCalls: 1,
        },
      });
      expect(report.rows.reduce((sum, { calls }) => sum + calls, 0)).toBe(2);
      expect(report.rows).toHaveLength(by === "agent" ? 2 : 1);
    },
  );

  it.each(["key", "model", "agent"])("splits one key's hours by %s", async (split) => {
    const keyId = await usedKey();
    const answer = await edgeOf(fleetOf())(`/admin/usage?key=${keyId}&by=hour&split=${split}`, ADMIN);
    const report = UsageReport.parse(await answer.json());
    expect(report).toMatchObject({ by: "hour", split, key: keyId, total: { calls: 2 } });
    const names = { key: [keyId], model: ["Model-1"], agent: ["Alpha", "Beta"] }[split];
    expect(report.rows.map((row) => row.split)).toEqual(names);
  });

  it("returns the sums of all keys by day by default", async () => {
    const keyId = await usedKey();
    const edge = edgeOf(fleetOf());
    const days = UsageReport.parse(await (await edge("/admin/usage", ADMIN)).json());
    expect(days).toMatchObject({ by: "day", key: null });
    expect(days.total.calls).toBeGreaterThanOrEqual(2);
    const keys = UsageReport.parse(await (await edge("/admin/usage?by=key", ADMIN)).json());
    expect(keys.total).toEqual(days.total);
    expect(keys.rows.find(({ group }) => group === keyId)?.calls).toBe(2);
  });

  it.each<[string, string, TestRequest]>([
    ["the format", "&format=csv", ADMIN],
    ["the Accept header", "", { ...ADMIN, headers: { accept: "text/csv" } }],
  ])("is a download if %s requests CSV", async (_, query, init) => {
    const keyId = await usedKey();
    const answer = await edgeOf(fleetOf())(`/admin/usage?key=${keyId}&by=key${query}`, init);
    expect(answer.headers.get("content-type")).toMatch(/^text\/csv; charset=utf-8/);
    expect(answer.headers.get("content-disposition")).toMatch(/^attachment; filename="usage-[\d-]+\.csv"$/);
    expect(await answer.text()).toBe(
      `key,calls,complete,promptTokens,cachedTokens,completionTokens,estimatedCalls\r\n${keyId},2,1,20,8,10,1\r\n`,
    );
  });

  it("is JSON if the query requests it, whatever Accept requests", async () => {
    const init = { ...ADMIN, headers: { accept: "text/csv" } };
    const answer = await edgeOf(fleetOf())("/admin/usage?format=json", init);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  });

  it.each([
    ["by=week", "by"],
    ["from=yesterday", "from"],
    ["from=2026-02-30", "from"],
    ["to=2026-11-23T14:00:00", "to"],
    ["from=2026-11-02&to=2026-11-01", "from"],
    ["from=1970-01-01", "from"],
    ["key=a%20b", "key"],
    ["key=..", "key"],
    ["format=xml", "format"],
    ["by=key&by=day", "by"],
    ["split=day", "split"],
    ["by=key&split=model", "split"],
    ["user=someone", "user"],
  ])("refuses %s with the field's name", async (query, param) => {
    captureLog();
    const answer = await edgeOf(fleetOf())(`/admin/usage?${query}`, ADMIN);
    expect(answer.status).toBe(400);
    expect(await errorOf(answer)).toMatchObject({ code: "invalid_request", param });
  });

  it.each<[string, TestRequest, number]>([
    ["without a key", { key: null }, 401],
    ["to a client", { key: "dev-key" }, 403],
    ["by another method", { ...ADMIN, method: "POST" }, 405],
  ])("is closed %s", async (_, init, status) => {
    captureLog();
    expect((await edgeOf(fleetOf())("/admin/usage", init)).status).toBe(status);
  });
});
