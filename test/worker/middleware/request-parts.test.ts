// A request whose body takes long is let in by what holds at its end: nothing is done by a key that was revoked
// meanwhile, and no call goes by what boxes said before.
import { env } from "cloudflare:workers";
import { beforeEach, expect, it, vi } from "vitest";
import { KeyList } from "../../../shared/keys.ts";
import { THE_ONE } from "../../../shared/the-one.ts";
import { captureLog, CHAT, chat, edgeOf, errorOf, type Edge } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { KEYS, newKey } from "../support/keys.ts";
import { standIn } from "../support/origin.ts";

beforeEach(() => {
  captureLog();
  standIn(() => new Response(null, { status: 502 }));
  return () => vi.restoreAllMocks();
});

/** A body whose last byte comes when it is told to. */
function heldBody(text: string): {
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

async function revoked(edge: Edge, id: string, key: string): Promise<void> {
  expect((await edge(`${KEYS}/${id}`, { key: "dev-admin", method: "DELETE" })).status).toBe(200);
  // As every isolate knows it within a second.
  await expect.poll(async () => (await edge(KEYS, { key })).status, { timeout: 10_000 }).toBe(401);
}

async function names(edge: Edge): Promise<string[]> {
  const { keys } = KeyList.parse(await (await edge(KEYS, { key: "dev-admin" })).json());
  return keys.map(({ name }) => name);
}

it.each<[string, (id: string, other: string) => { path: string; method: string }, object]>([
  [
    "makes no key",
    () => ({ path: KEYS, method: "POST" }),
    { name: "made too late", scopes: ["infer", "admin"] },
  ],
  [
    "changes none",
    (_, other) => ({ path: `${KEYS}/${other}`, method: "PATCH" }),
    { name: "made too late", scopes: ["infer", "admin"] },
  ],
  ["rotates none", (_, other) => ({ path: `${KEYS}/${other}/rotate`, method: "POST" }), { graceSeconds: 0 }],
])("an admin key that is revoked while its request arrives %s", async (_, ask, body) => {
  const edge = edgeOf(fleetOf());
  const thief = await newKey(edge, { name: "found", scopes: ["admin"] });
  const other = await newKey(edge, { name: "app" });
  const { path, method } = ask(thief.id, other.id);
  const { stream, finish } = heldBody(JSON.stringify(body));
  const asked = edge(path, { key: thief.key, method, body: stream });
  await revoked(edge, thief.id, thief.key);
  finish();
  const answer = await asked;
  expect([answer.status, (await errorOf(answer)).code]).toEqual([401, "invalid_key"]);
  expect(await names(edge)).not.toContain("made too late");
  // The other key is as it was.
  expect((await edge("/v1/models", { key: other.key })).status).not.toBe(401);
});

it("a call whose body took long goes by what the boxes say at its end", async () => {
  const fleet = env.FLEET.getByName(THE_ONE);
  const looks = vi.fn(async () => fleet.boxes());
  const watched = new Proxy(fleet, {
    get: (target, name) => (name === "boxes" ? looks : (Reflect.get(target, name) as unknown)),
  });
  const namespace = { getByName: () => watched } as unknown as typeof env.FLEET;
  const edge = edgeOf(fleetOf(), { bindings: { FLEET: namespace } });
  const { key } = await newKey(edge);
  const { stream, finish } = heldBody(JSON.stringify(chat()));
  const asked = edge(CHAT, { key, body: stream });
  await expect.poll(() => looks.mock.calls.length).toBe(1);
  // Until neither the key's word nor the boxes' is young any more.
  const since = Date.now();
  await expect.poll(() => Date.now() - since, { timeout: 10_000, interval: 50 }).toBeGreaterThan(2_100);
  finish();
  await (await asked).body?.cancel();
  expect(looks.mock.calls.length).toBe(2);
});
