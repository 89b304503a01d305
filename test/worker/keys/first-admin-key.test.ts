// The first admin key over the whole edge: in a new deployment, after its replacement, and after all keys were lost.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { AuditList, type KeyWithSecret } from "../../../shared/keys.ts";
import { captureLog, edgeOf, errorOf, stopClock, type Edge } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { forgetAllKeys, KEYS, newKey, firstKey } from "../support/keys.ts";
import { healthAnswer, fakeFetch } from "../support/origin.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");
/** Longer than an isolate remembers a refused key. */
const LATER_MS = 30_000;

type FirstKey = Awaited<ReturnType<typeof firstKey>>;

const ADMIN = { name: "ops", scopes: ["infer", "admin"] };

/** A deployment with the hash of `first` as its secret. */
function deployedWith(first: FirstKey | null): Edge {
  return edgeOf(fleetOf(), { bindings: { FIRST_ADMIN_KEY_SHA256: first?.sha256 ?? "" } });
}

const statusOf = async (edge: Edge, key: string): Promise<number> => (await edge(KEYS, { key })).status;

async function createAdmin(edge: Edge, key: string): Promise<KeyWithSecret> {
  const answer = await edge(KEYS, { key, body: ADMIN });
  expect(answer.status).toBe(201);
  return answer.json<KeyWithSecret>();
}

/** Actors and actions, newest first. */
async function audit(edge: Edge, key: string): Promise<string[]> {
  const { entries } = AuditList.parse(await (await edge("/admin/audit", { key })).json());
  return entries.map(({ actor, action }) => `${actor} ${action}`);
}

beforeEach(async () => {
  await forgetAllKeys();
  captureLog();
  fakeFetch(() => healthAnswer("north", { 9000: "ready" }));
  return () => vi.restoreAllMocks();
});

describe("the first admin key", () => {
  it("creates an admin key, and is refused after that", async () => {
    const first = await firstKey();
    const ops = await createAdmin(deployedWith(first), first.key);
    const other = deployedWith(first);
    expect(await errorOf(await other(KEYS, { key: first.key }))).toMatchObject({ code: "invalid_key" });
    expect(await statusOf(other, ops.key)).toBe(200);
  });

  it("is refused after a second by an isolate that admitted it before", async () => {
    const clock = stopClock(NOON);
    const first = await firstKey();
    const edge = deployedWith(first);
    await createAdmin(edge, first.key);
    clock.to(NOON + 1_000);
    expect(await statusOf(edge, first.key)).toBe(401);
  });

  it("is refused too once another key got the admin scope", async () => {
    const first = await firstKey();
    const edge = deployedWith(first);
    const { id } = await newKey(edge, { scopes: ["infer"] });
    expect(await statusOf(edge, first.key)).toBe(200);
    await edge(`${KEYS}/${id}`, { method: "PATCH", key: "dev-admin", body: { scopes: ["admin"] } });
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
  });

  it("is valid again while no admin key is left", async () => {
    const clock = stopClock(NOON);
    const first = await firstKey();
    const edge = deployedWith(first);
    const { id } = await createAdmin(edge, first.key);
    clock.to(NOON + 2_000);
    expect(await statusOf(edge, first.key)).toBe(401);
    await edge(`${KEYS}/${id}`, { method: "DELETE", key: "dev-admin" });
    clock.to(NOON + LATER_MS);
    expect(await statusOf(edge, first.key)).toBe(200);
    await createAdmin(edge, first.key);
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
  });

  it("is refused if the environment has another hash, or none", async () => {
    const first = await firstKey();
    for (const other of [null, await firstKey()])
      expect(await statusOf(deployedWith(other), first.key)).toBe(401);
  });

  it("may call models too, for the playground", async () => {
    const first = await firstKey();
    expect((await deployedWith(first)("/v1/models", { key: first.key })).status).toBe(200);
  });
});

describe("if every admin key is lost", () => {
  it("a new hash restores access, until it has created an admin key", async () => {
    const [first, next] = [await firstKey(), await firstKey()];
    await createAdmin(deployedWith(first), first.key);
    const edge = deployedWith(next);
    expect(await statusOf(edge, next.key)).toBe(200);
    const ops = await createAdmin(edge, next.key);
    expect(await statusOf(deployedWith(next), next.key)).toBe(401);
    expect(await statusOf(deployedWith(null), ops.key)).toBe(200);
  });

  it("a replaced hash stays refused when it is deployed again", async () => {
    const [first, next] = [await firstKey(), await firstKey()];
    await createAdmin(deployedWith(first), first.key);
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
    await createAdmin(deployedWith(next), next.key);
    for (const old of [first, next]) expect(await statusOf(deployedWith(old), old.key)).toBe(401);
  });

  it("the use of the new one is audited, once, before its actions", async () => {
    const [first, next] = [await firstKey(), await firstKey()];
    const ops = await createAdmin(deployedWith(first), first.key);
    const edge = deployedWith(next);
    await statusOf(edge, next.key);
    await statusOf(deployedWith(next), next.key);
    await createAdmin(edge, next.key);
    expect((await audit(edge, ops.key)).slice(0, 4)).toEqual([
      `${next.id} key.create`,
      `${next.id} first-key.use`,
      `${first.id} key.create`,
      `${first.id} first-key.use`,
    ]);
  });
});
