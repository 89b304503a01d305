// A request with a slow body is admitted by the state at its end: a key that was revoked in the meantime does nothing,
// and no call is routed by an old snapshot.
import { env } from "cloudflare:workers";
import { beforeEach, expect, it, vi } from "vitest";
import { KeyList } from "../../../shared/keys.ts";
import type { KeyLeaseRequest } from "../../../worker/limits/lease-request.ts";
import { fleetObject } from "../../../worker/stubs.ts";
import type { Bindings } from "../../../worker/env.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, stopClock, type Edge } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { KEYS, newKey } from "../support/keys.ts";
import { fakeFetch } from "../support/origin.ts";
import { untilHolds } from "../support/until.ts";

beforeEach(() => {
  captureLog();
  fakeFetch(() => new Response(null, { status: 502 }));
  return () => vi.restoreAllMocks();
});

/** A body whose last byte is sent by `finish`. */
function unfinishedBody(text: string): {
  readonly stream: ReadableStream<Uint8Array>;
  readonly finish: () => void;
} {
  const bytes = new TextEncoder().encode(text);
  let finish = (): void => undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.subarray(0, -1));
      finish = () => {
        controller.enqueue(bytes.subarray(-1));
        controller.close();
      };
    },
  });
  return { stream, finish: () => finish() };
}

/** The real key objects, and how many lease requests each has answered. */
function countedKeys(): {
  readonly binding: Bindings["API_KEY"];
  readonly answersOf: (id: string) => number;
} {
  const answered: string[] = [];
  const getByName = (id: string, options?: DurableObjectNamespaceGetDurableObjectOptions): object => {
    const stub = env.API_KEY.getByName(id, options);
    const lease = async (request: KeyLeaseRequest) => {
      const answer = await stub.lease(request);
      answered.push(id);
      return answer;
    };
    return new Proxy(stub, {
      get: (target, name) => (name === "lease" ? lease : (Reflect.get(target, name) as unknown)),
    });
  };
  const answersOf = (id: string): number => answered.filter((one) => one === id).length;
  return { binding: { getByName } as unknown as Bindings["API_KEY"], answersOf };
}

async function names(edge: Edge): Promise<string[]> {
  const { keys } = KeyList.parse(await (await edge(KEYS, { key: "dev-admin" })).json());
  return keys.map(({ name }) => name);
}

it.each<[string, (id: string, other: string) => { path: string; method: string }, object]>([
  [
    "creates no key",
    () => ({ path: KEYS, method: "POST" }),
    { name: "made too late", scopes: ["infer", "admin"] },
  ],
  [
    "changes no key",
    (_, other) => ({ path: `${KEYS}/${other}`, method: "PATCH" }),
    { name: "made too late", scopes: ["infer", "admin"] },
  ],
  [
    "rotates no key",
    (_, other) => ({ path: `${KEYS}/${other}/rotate`, method: "POST" }),
    { graceSeconds: 0 },
  ],
])("an admin key that is revoked while its body arrives %s", async (_, target, body) => {
  const start = Date.now();
  const clock = stopClock(start);
  const keys = countedKeys();
  const edge = edgeOf(fleetOf(), { bindings: { API_KEY: keys.binding } });
  const thief = await newKey(edge, { name: "found", scopes: ["admin"] });
  const other = await newKey(edge, { name: "app" });
  const { path, method } = target(thief.id, other.id);
  const { stream, finish } = unfinishedBody(JSON.stringify(body));
  const answering = edge(path, { key: thief.key, method, body: stream });
  await untilHolds(() => expect(keys.answersOf(thief.id)).toBe(1));
  expect((await edge(`${KEYS}/${thief.id}`, { key: "dev-admin", method: "DELETE" })).status).toBe(200);
  // By then every isolate has expired the lease.
  clock.to(start + 1_000);
  finish();
  const answer = await answering;
  expect([answer.status, (await errorOf(answer)).code]).toEqual([401, "invalid_key"]);
  expect(await names(edge)).not.toContain("made too late");
  // The other key is unchanged.
  expect((await edge("/v1/models", { key: other.key })).status).not.toBe(401);
});

it("a call with a slow body is routed by a new snapshot", async () => {
  const start = Date.now();
  const clock = stopClock(start);
  const fleet = fleetObject(env);
  const reads = vi.fn(async () => fleet.boxes());
  const watched = new Proxy(fleet, {
    get: (target, name) => (name === "boxes" ? reads : (Reflect.get(target, name) as unknown)),
  });
  const namespace = { getByName: () => watched } as unknown as typeof env.FLEET;
  const keys = countedKeys();
  const edge = edgeOf(fleetOf(), { bindings: { API_KEY: keys.binding, FLEET: namespace } });
  const { id, key } = await newKey(edge);
  const { stream, finish } = unfinishedBody(JSON.stringify(chat()));
  const answering = edge(CHAT, { key, body: stream });
  await untilHolds(() => {
    expect(keys.answersOf(id)).toBe(1);
    expect(reads.mock.settledResults).toMatchObject([{ type: "fulfilled" }]);
  });
  // By then both the lease and the snapshot are too old.
  clock.to(start + 2_100);
  finish();
  await (await answering).body?.cancel();
  expect(reads.mock.calls.length).toBe(2);
});
