// The limits as clients meet them, counted by the real objects. The clock is stopped, so that all calls share a window.
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { FleetConfig } from "../../../shared/fleet.ts";
import { formatApiKey } from "../../../shared/api-key.ts";
import {
  captureLog,
  edgeOf,
  errorOf,
  newAddress,
  newLegacyKey,
  stopClock,
  type TestRequest,
  type Edge,
} from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { newKey } from "../support/keys.ts";
import { watched } from "../support/limiters.ts";
import { healthAnswer, fakeFetch } from "../support/origin.ts";
import { seeded } from "../support/random.ts";
import { noJitter } from "../../support/no-jitter.ts";

/** The middle of a window. */
const NOON = 1_790_000_000_500;

type LegacyKey = Awaited<ReturnType<typeof newLegacyKey>>;

function fleetWith(
  perAddressPerSecond: number,
  perKeyPerSecond: number,
  keys: readonly LegacyKey[] = [],
): FleetConfig {
  return fleetOf({
    limits: { perAddressPerSecond, perKeyPerSecond },
    legacy: { keys: keys.map(({ line }) => line), anonymous: null },
  });
}

/** Sends many requests at once. */
async function statuses(
  edge: Edge,
  path: string,
  times: number,
  request: TestRequest = {},
): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: times }, async () => edge(path, request)));
  return answers.map(({ status }) => status);
}

const admitted = (all: readonly number[]): number => all.filter((status) => status === 200).length;
const refused = (all: readonly number[]): number => all.filter((status) => status === 429).length;

function quiet(): string[] {
  fakeFetch(() => healthAnswer("north", { 9000: "ready" }));
  return captureLog();
}

describe("an address", () => {
  it("gets its limit in each window, to the request, however many come at once", async () => {
    quiet();
    const clock = stopClock(NOON);
    const edge = edgeOf(fleetWith(7, 1000));
    for (const at of [NOON, NOON + 1_000, NOON + 5_000]) {
      clock.to(at);
      const all = await statuses(edge, "/livez", 25);
      expect([admitted(all), refused(all)]).toEqual([7, 18]);
    }
  });

  it("is one however its requests come: over routes, keys and spellings", async () => {
    quiet();
    stopClock(NOON);
    const [first, second] = await Promise.all([newLegacyKey(), newLegacyKey()]);
    const one = edgeOf(fleetWith(10, 1000, [first, second]));
    const network = "2001:db8:77:1";
    const all = [
      ...(await statuses(one, "/livez", 3, { address: `${network}::1` })),
      ...(await statuses(one, "/healthz", 3, { address: `${network}:ffff::2` })),
      ...(await statuses(one, "/v1/models", 3, { address: `${network}::3`, key: first.text })),
      ...(await statuses(one, "/v1/models", 3, {
        address: `${network.toUpperCase()}::4`,
        key: second.text,
      })),
    ];
    expect([admitted(all), refused(all)]).toEqual([10, 2]);
  });

  it("exceeds its limit by no more than ten requests for each isolate that sees it", async () => {
    quiet();
    stopClock(NOON);
    const fleet = fleetWith(20, 1000);
    const edges = [edgeOf(fleet), edgeOf(fleet), edgeOf(fleet)];
    const address = newAddress();
    const all = await Promise.all(edges.map(async (edge) => statuses(edge, "/livez", 40, { address })));
    expect(admitted(all.flat())).toBeGreaterThanOrEqual(20);
    expect(admitted(all.flat())).toBeLessThanOrEqual(20 + 10 * edges.length);
  });

  it("is CF-Connecting-IP and nothing else a client can write", async () => {
    quiet();
    stopClock(NOON);
    const edge = edgeOf(fleetWith(2, 1000));
    const forged = (at: number): Record<string, string> => ({
      "x-forwarded-for": `192.0.2.${at}`,
      "x-real-ip": `192.0.2.${at}`,
      "true-client-ip": `192.0.2.${at}`,
      forwarded: `for=192.0.2.${at}`,
    });
    const answers = await Promise.all(
      [1, 2, 3, 4].map(async (at) => edge("/livez", { headers: forged(at) })),
    );
    expect(refused(answers.map(({ status }) => status))).toBe(2);
  });

  it.each<[string, string, TestRequest]>([
    ["a preflight", "/v1/models", { method: "OPTIONS", key: null, headers: { origin: "https://a.example" } }],
    ["a route that doesn't exist", "/nowhere", {}],
    ["a method that a route doesn't have", "/livez", { method: "DELETE" }],
    ["the docs", "/docs", {}],
    ["the redirect to the docs", "/", {}],
    ["the health", "/healthz", {}],
    ["a call without a key", "/v1/models", { key: null }],
    ["a call with a text that can't be a key", "/v1/models", { key: "nonsense" }],
    [
      "a call with a key that doesn't exist",
      "/v1/models",
      { key: formatApiKey("Missing0", seeded(1).bytes(32)) },
    ],
  ])("spends its tokens on every route: %s", async (_, path, request) => {
    quiet();
    stopClock(NOON);
    const edge = edgeOf(fleetWith(3, 1000));
    const all = await statuses(edge, path, 5, request);
    expect(refused(all)).toBe(2);
    expect((await edge("/livez")).status).toBe(429);
  });

  it("that Cloudflare's Workers share has a limit for each Worker's zone: one used up that of all", async () => {
    quiet();
    stopClock(NOON);
    const edge = edgeOf(fleetWith(3, 1000));
    const zones = [crypto.randomUUID(), crypto.randomUUID()].map((name) => `${name}.example`);
    for (const zone of zones) {
      const request = { address: "2a06:98c0:3600::103", headers: { "cf-worker": zone } };
      expect(admitted(await statuses(edge, "/livez", 5, request))).toBe(3);
    }
  });

  it("that is at its limit is refused with the reason and for how long", async () => {
    quiet();
    noJitter();
    stopClock(NOON + 160);
    const edge = edgeOf(fleetWith(1, 1000));
    await edge("/livez");
    const answer = await edge("/livez");
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(answer.headers.get("retry-after-ms")).toBe("340");
    expect(answer.headers.get("x-should-retry")).not.toBe("false");
    expect(await errorOf(answer)).toMatchObject({ code: "rate_limited_ip", type: "rate_limit_error" });
  });
});

describe("a key", () => {
  it("gets its limit in each window and no more, over isolates and addresses", async () => {
    quiet();
    const clock = stopClock(NOON);
    const key = await newLegacyKey();
    const fleet = fleetWith(1000, 9, [key]);
    const edges = [edgeOf(fleet), edgeOf(fleet), edgeOf(fleet)];
    for (const at of [NOON, NOON + 1_000]) {
      clock.to(at);
      const rounds = await Promise.all(
        edges.map(async (edge) => statuses(edge, "/v1/models", 10, { key: key.text, address: newAddress() })),
      );
      // Tokens that an isolate leased and didn't spend are lost with it.
      expect(admitted(rounds.flat())).toBeLessThanOrEqual(9);
      expect(admitted(rounds.flat())).toBeGreaterThanOrEqual(5);
    }
  });

  it("that is at its limit is refused with the reason and for how long", async () => {
    quiet();
    noJitter();
    stopClock(NOON);
    const key = await newLegacyKey();
    const edge = edgeOf(fleetWith(1000, 1, [key]));
    await edge("/v1/models", { key: key.text });
    const answer = await edge("/v1/models", { key: key.text });
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(answer.headers.get("retry-after-ms")).toBe("500");
    expect(answer.headers.get("x-should-retry")).not.toBe("false");
    expect(await errorOf(answer)).toMatchObject({ code: "rate_limited_key" });
  });

  it("that is mistyped is refused without an object call", async () => {
    quiet();
    const keys = watched(env.API_KEY);
    const edge = edgeOf(fleetWith(1000, 1000), { bindings: { API_KEY: keys.binding } });
    const good = formatApiKey("Ab3dEf6h", seeded(2).bytes(32));
    const mistyped = good.slice(0, -1) + (good.endsWith("0") ? "1" : "0");
    expect((await edge("/v1/models", { key: mistyped })).status).toBe(401);
    expect(keys.names).toEqual([]);
    expect((await edge("/v1/models", { key: good })).status).toBe(401);
    expect(keys.names).toEqual(["Ab3dEf6h"]);
  });
});

it("a key with a small limit has all of it from its first second on", async () => {
  quiet();
  stopClock(NOON);
  const edge = edgeOf(fleetWith(1000, 1000));
  const { key } = await newKey(edge, { limits: { perSecond: 5 } });
  const seen: number[] = [];
  for (let call = 0; call < 6; call += 1) seen.push((await edge("/v1/models", { key })).status);
  expect(seen.filter((status) => status !== 429).length).toBe(5);
});

describe("the log's line of a refusal at a limit", () => {
  const codesAndKeys = (log: readonly string[]): unknown[] =>
    log.map((line) => JSON.parse(line) as Record<string, unknown>).map(({ code, key }) => [code, key]);
  const idOf = ({ line }: LegacyKey): string => `legacy_${line.sha256.slice(0, 16)}`;

  it("names the key that was at its limit, or was at an address that was", async () => {
    stopClock(NOON);
    const key = await newLegacyKey();
    const request = { key: key.text };
    for (const [perAddress, perKey, code] of [
      [1000, 1, "rate_limited_key"],
      [1, 1000, "rate_limited_ip"],
    ] as const) {
      const log = quiet();
      const edge = edgeOf(fleetWith(perAddress, perKey, [key]));
      // The first refusal is the object's, the next the isolate's own.
      expect(await statuses(edge, "/v1/models", 2, request)).toContain(429);
      expect((await edge("/v1/models", request)).status).toBe(429);
      expect(codesAndKeys(log)).toEqual(Array.from({ length: log.length }, () => [code, idOf(key)]));
      expect(log.length).toBeGreaterThanOrEqual(2);
    }
  });

  it("is none if the key doesn't exist, or there was none", async () => {
    stopClock(NOON);
    const log = quiet();
    const edge = edgeOf(fleetWith(1, 1000));
    const unknown = formatApiKey("Missing1", seeded(3).bytes(32));
    await edge("/v1/models", { key: unknown });
    await edge("/v1/models", { key: null });
    // Not even beyond the address's limit, where no object has checked it.
    await edge("/v1/models", { key: unknown });
    expect(codesAndKeys(log)).toEqual([]);
  });
});

describe("a call that one limit refuses spends nothing of the other", () => {
  it("a key at its limit leaves its address's tokens", async () => {
    quiet();
    stopClock(NOON);
    const key = await newLegacyKey();
    const edge = edgeOf(fleetWith(5, 2, [key]));
    for (let call = 0; call < 10; call += 1) await edge("/v1/models", { key: key.text });
    expect(admitted(await statuses(edge, "/livez", 6))).toBe(3);
  });

  it("an address at its limit leaves its key's tokens", async () => {
    quiet();
    stopClock(NOON);
    const key = await newLegacyKey();
    const edge = edgeOf(fleetWith(3, 6, [key]));
    const crowded = newAddress();
    for (let call = 0; call < 10; call += 1) await edge("/v1/models", { key: key.text, address: crowded });
    const fresh = [newAddress(), newAddress()];
    const all = await Promise.all(
      fresh.map(async (address) => statuses(edge, "/v1/models", 3, { key: key.text, address })),
    );
    expect(admitted(all.flat())).toBe(3);
  });
});

describe("a key that is exempt from the address limit", () => {
  it("is neither refused by it nor counted in it", async () => {
    quiet();
    stopClock(NOON);
    const edge = edgeOf(fleetWith(3, 1000));
    const exempt: number[] = [];
    for (let call = 0; call < 10; call += 1)
      exempt.push((await edge("/v1/models", { key: "dev-key" })).status);
    expect(admitted(exempt)).toBe(10);
    expect(admitted(await statuses(edge, "/livez", 5))).toBe(3);
    expect((await edge("/v1/models", { key: "dev-key" })).status).toBe(200);
  });
});

describe("every answer of a route with a key reports its limits", () => {
  it("admitted or refused, by the route or by a limit", async () => {
    quiet();
    stopClock(NOON);
    const key = await newLegacyKey();
    const edge = edgeOf(fleetWith(50, 3, [key]));
    const answers: string[] = [];
    for (const path of ["/v1/models", "/v1/models/Nothing", "/v1/models", "/v1/models"]) {
      const answer = await edge(path, { key: key.text });
      expect(answer.headers.get("ratelimit-policy")).toContain('"key";q=3;w=1');
      answers.push(`${answer.status} ${answer.headers.get("x-ratelimit-remaining-requests") ?? ""}`);
    }
    expect(answers).toEqual(["200 2", "404 1", "200 0", "429 0"]);
  });

  it("and pages of other origins may read it", async () => {
    quiet();
    const answer = await edgeOf(fleetWith(50, 3))("/v1/models", { headers: { origin: "https://a.example" } });
    const exposed = answer.headers.get("access-control-expose-headers") ?? "";
    for (const name of ["ratelimit", "ratelimit-policy", "x-ratelimit-reset-requests"])
      expect(exposed.split(",")).toContain(name);
  });
});

describe("in no window is more admitted than a key's limit, or an address's limit and its free passes", () => {
  it.each([1, 2, 3, 4, 5, 6])("whatever is requested while the clock moves (seed %i)", async (seed) => {
    quiet();
    const clock = stopClock(NOON);
    const random = seeded(seed);
    const keys = await Promise.all([newLegacyKey(), newLegacyKey()]);
    const addresses = [newAddress(), newAddress()];
    const [perAddress, perKey] = [random.integer(2, 9), random.integer(2, 9)];
    const fleet = fleetWith(perAddress, perKey, keys);
    const edges = [edgeOf(fleet), edgeOf(fleet)];
    const counts = new Map<string, number>();
    let latest = NOON + seed * 1_000_000;
    for (let step = 0; step < 25; step += 1) {
      latest += random.integer(0, 700);
      clock.to(latest);
      const calls = Array.from({ length: random.integer(1, 8) }, () => ({
        edge: random.pick(edges),
        key: random.pick(keys).text,
        address: random.pick(addresses),
      }));
      const answers = await Promise.all(
        calls.map(async ({ edge, ...request }) => ({ request, answer: await edge("/v1/models", request) })),
      );
      for (const { request, answer } of answers) {
        if (answer.status !== 200) continue;
        for (const name of [request.key, request.address]) {
          const window = `${name} in ${Math.floor(latest / 1_000)}`;
          counts.set(window, (counts.get(window) ?? 0) + 1);
        }
      }
    }
    // Each of the two isolates admits an address's free passes, here at most its limit.
    for (const [name, count] of counts)
      expect(count, name).toBeLessThanOrEqual(name.startsWith("old") ? perKey : 2 * perAddress);
  });
});
