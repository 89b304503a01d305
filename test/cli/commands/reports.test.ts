// `isha usage`, `isha audit`, `isha why`: their requests and their output.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { meaningOf } from "../../../shared/error-meanings.ts";
import { ADMIN_KEY, AdminService, CSV } from "../support/admin-service.ts";
import { runHere } from "../support/run-isha.ts";

const REQUEST = "req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7";
const UNKNOWN = `req_${"0".repeat(32)}`;

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => service.reset());

const isha = (line: string) =>
  runHere(line.split(" "), { env: { ISHA_URL: url, ISHA_ADMIN_KEY: ADMIN_KEY } });

describe("usage", () => {
  const sums = {
    calls: 3,
    complete: 2,
    promptTokens: 300,
    cachedTokens: 30,
    completionTokens: 1_500,
    estimatedCalls: 1,
  };
  const report = (by: "key" | "model" | "day") => ({
    from: "2026-11-01T00:00:00.000Z",
    to: "2026-11-23T15:00:00.000Z",
    by,
    key: null,
    total: sums,
    rows: [{ group: "3fA9kQ2mXw7b", ...sums }],
  });

  it("requests this month by key, and shows the keys' names and the total", async () => {
    service.usage = report("key");
    service.addKey({ id: "3fA9kQ2mXw7b" });
    const { out } = await isha("usage");
    expect(service.requests[0]?.query).toEqual({
      by: "key",
      from: "2026-11-01T00:00:00.000Z",
      to: "2026-11-23T15:00:00.000Z",
    });
    expect(out).toContain("2026-11-01 00:00:00 UTC to 2026-11-23 15:00:00 UTC");
    expect(out).toMatch(/3fA9kQ2mXw7b {2}Riverside Clinic +3 +67 % +300 +30 +1,500 +1,800\n/);
    expect(out).toMatch(/\ntotal +3 /);
    expect(out).toContain("The tokens of 1 of 3 calls (33 %) are estimated.");
  });

  it("of one key is by day; the options set range and grouping", async () => {
    service.usage = report("day");
    await isha("usage --key 3fA9kQ2mXw7b --month 2026-10");
    await isha("usage --last 24h --by model");
    expect(service.requests.map(({ query }) => query)).toEqual([
      { key: "3fA9kQ2mXw7b", by: "day", from: "2026-10-01T00:00:00.000Z", to: "2026-11-01T00:00:00.000Z" },
      { by: "model", from: "2026-11-22T14:00:00.000Z", to: "2026-11-23T15:00:00.000Z" },
    ]);
  });

  it("--json prints the unchanged answer, --csv the service's CSV", async () => {
    service.usage = report("model");
    expect(JSON.parse((await isha("usage --by model --json")).out)).toEqual(service.usage);
    expect((await isha("usage --by model --csv")).out).toBe(CSV);
    expect(service.requests.at(-1)?.query).toMatchObject({ by: "model", format: "csv" });
  });

  it.each([
    "usage --last 7d --from 2026-11-01",
    "usage --last 7d --month 2026-11",
    "usage --month 2026-11 --to 2026-11-08",
    "usage --from 2026-11-08 --to 2026-11-01",
    "usage --by week",
    "usage --csv --json",
    "usage --last 7",
    "usage --last 0",
    "usage --key a/b",
  ])("%s is wrong usage, and nothing is sent", async (line) => {
    expect((await isha(line)).code).toBe(2);
    expect(service.requests).toEqual([]);
  });
});

describe("audit", () => {
  beforeEach(() => {
    for (const [index, action] of (["key.revoke", "key.change", "key.create"] as const).entries()) {
      service.audit.push({
        at: "2026-11-23T14:00:00Z",
        actor: "ops000000001",
        action,
        target: index === 0 ? "other0000001" : "3fA9kQ2mXw7b",
        detail: { name: "Clinic", tokensPerMonth: 5_000_000 },
        requestId: "req_1",
      });
    }
  });

  it("shows actor, action and target; --all reads every page", async () => {
    const first = await isha("audit");
    expect(first.out).toContain(
      "2026-11-23 14:00:00 UTC  ops000000001  key.revoke  other0000001  name=Clinic tokensPerMonth=5000000",
    );
    expect(first.err).toContain("the last 2; --all shows all");
    expect((await isha("audit --all")).out).toContain("key.create");
    expect((await isha("audit --target other0000001")).out).not.toContain("3fA9kQ2mXw7b");
    expect(JSON.parse((await isha("audit --all --json")).out)).toEqual({
      entries: service.audit,
      next: null,
    });
  });
});

describe("why", () => {
  beforeEach(() => {
    service.addKey({ id: "3fA9kQ2mXw7b" });
    service.failures.set(REQUEST, {
      requestId: REQUEST,
      at: "2026-11-23T14:27:00Z",
      code: "model_unavailable",
      route: "/v1/chat/completions",
      key: "3fA9kQ2mXw7b",
      cause: "box1:8085 down",
    });
  });

  it("explains a failed request: status and code, time, route, key, cause, and what to do", async () => {
    const { out } = await isha(`why ${REQUEST}`);
    expect(out.split("\n")).toEqual([
      "503 model_unavailable",
      "",
      `  request  ${REQUEST}`,
      "  when     2026-11-23 14:27:00 UTC (3 min ago)",
      "  route    /v1/chat/completions",
      "  key      3fA9kQ2mXw7b (“Riverside Clinic”)",
      "  cause    box1:8085 down",
      "",
      meaningOf("model_unavailable"),
      "",
    ]);
    expect(JSON.parse((await isha(`why ${REQUEST} --json`)).out)).toEqual(service.failures.get(REQUEST));
  });

  it("shows the agent type, the wrong field, the model, its port and the seconds that the client was asked to wait", async () => {
    const failure = service.failures.get(REQUEST);
    if (failure === undefined) throw new Error("there is no such request");
    const server = { agentType: "Alpha", model: "Model-1", port: 9001 };
    const facts = { ...server, param: "messages[0].role", retryAfterS: 9, cause: null };
    service.failures.set(REQUEST, { ...failure, ...facts });
    const { out } = await isha(`why ${REQUEST}`);
    expect(out.split("\n").slice(5, 11)).toEqual([
      "  key          3fA9kQ2mXw7b (“Riverside Clinic”)",
      "  agent type   Alpha",
      "  field        messages[0].role",
      "  model        Model-1 on 9001",
      "  retry after  9 s",
      "  cause        none recorded",
    ]);
  });

  /** The `key` line for a failed request of this key. */
  async function keyLine(key: string | null): Promise<string | undefined> {
    const failure = service.failures.get(REQUEST);
    if (failure === undefined) throw new Error("there is no such request");
    service.failures.set(REQUEST, { ...failure, key });
    const { out, err, code } = await isha(`why ${REQUEST}`);
    expect([code, err]).toEqual([0, ""]);
    return /^ {2}key {6}(.*)$/m.exec(out)?.[1];
  }

  it("shows only the id of a key that no longer exists", async () => {
    service.keys.clear();
    expect(await keyLine("3fA9kQ2mXw7b")).toBe("3fA9kQ2mXw7b");
    expect(await keyLine(null)).toBe("none");
  });

  it("marks a key of the fleet file", async () => {
    service.addKey({ id: "legacy_0123456789abcdef", name: "old app", state: "legacy" });
    expect(await keyLine("legacy_0123456789abcdef")).toBe(
      "legacy_0123456789abcdef (“old app”, of the fleet file)",
    );
  });

  it.each([
    ["dev-key", "dev-key (a development key, valid on its own machine only)"],
    ["dev-admin", "dev-admin (a development key, valid on its own machine only)"],
    ["anonymous", "anonymous (no key: the fleet file admits such calls)"],
    ["first0a1b2c3d", "first0a1b2c3d (a first admin key, created by isha keys bootstrap)"],
  ])("explains %s, which is in no list, without a request", async (key, text) => {
    expect(await keyLine(key)).toBe(text);
    expect(service.requests.map(({ path }) => path)).toEqual([`/admin/requests/${REQUEST}`]);
  });

  it("of an unknown id lists possible reasons", async () => {
    const ran = await isha(`why ${UNKNOWN}`);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain(`There is no record of ${UNKNOWN}.`);
    expect(ran.err).toContain("It succeeded, or is older than 24 hours.");
    expect(ran.err).toContain("another deployment");
  });

  it.each(["my-own-id", "../keys", "req_1234", REQUEST.toUpperCase()])(
    "of %s, which is no request id, sends nothing",
    async (id) => {
      const ran = await isha(`why ${id}`);
      expect(ran.code).toBe(2);
      expect(ran.err).toContain("x-request-id");
      expect(service.requests).toEqual([]);
    },
  );
});
