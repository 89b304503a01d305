// The first admin key as operators meet it: into a new deployment, out of the way, and back in where all keys are lost.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { AuditList, type KeyWithSecret } from "../../../shared/keys.ts";
import { captureLog, edgeOf, errorOf, stopClock, type Edge } from "../support/edge.ts";
import { fleetOf } from "../support/fleets.ts";
import { forgetAllKeys, KEYS, newKey, unmadeKey } from "../support/keys.ts";
import { healthAnswer, fakeFetch } from "../support/origin.ts";

const NOON = Date.parse("2026-11-23T12:00:00Z");
/** Past what an isolate remembers of a key that was refused. */
const LATER_MS = 30_000;

type FirstKey = Awaited<ReturnType<typeof unmadeKey>>;

const ADMIN = { name: "ops", scopes: ["infer", "admin"] };

/** A deployment whose secret is the hash of `first`: to set another one is to deploy anew. */
function deployedWith(first: FirstKey | null): Edge {
  return edgeOf(fleetOf(), { bindings: { FIRST_ADMIN_KEY_SHA256: first?.sha256 ?? "" } });
}

const statusOf = async (edge: Edge, key: string): Promise<number> => (await edge(KEYS, { key })).status;

async function makeAdmin(edge: Edge, key: string): Promise<KeyWithSecret> {
  const answer = await edge(KEYS, { key, body: ADMIN });
  expect(answer.status).toBe(201);
  return answer.json<KeyWithSecret>();
}

/** What was done, by whom, the newest first. */
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
  it("makes an admin key, and is refused by whoever asks its object after that", async () => {
    const first = await unmadeKey();
    const ops = await makeAdmin(deployedWith(first), first.key);
    const elsewhere = deployedWith(first);
    expect(await errorOf(await elsewhere(KEYS, { key: first.key }))).toMatchObject({ code: "invalid_key" });
    expect(await statusOf(elsewhere, ops.key)).toBe(200);
  });

  it("is refused a second after, where it was let in before", async () => {
    const clock = stopClock(NOON);
    const first = await unmadeKey();
    const edge = deployedWith(first);
    await makeAdmin(edge, first.key);
    clock.to(NOON + 1_000);
    expect(await statusOf(edge, first.key)).toBe(401);
  });

  it("is out of the way too once another admin key was given its scope", async () => {
    const first = await unmadeKey();
    const edge = deployedWith(first);
    const { id } = await newKey(edge, { scopes: ["infer"] });
    expect(await statusOf(edge, first.key)).toBe(200);
    await edge(`${KEYS}/${id}`, { method: "PATCH", key: "dev-admin", body: { scopes: ["admin"] } });
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
  });

  it("counts again while no admin key is left: nobody is locked out", async () => {
    const clock = stopClock(NOON);
    const first = await unmadeKey();
    const edge = deployedWith(first);
    const { id } = await makeAdmin(edge, first.key);
    clock.to(NOON + 2_000);
    expect(await statusOf(edge, first.key)).toBe(401);
    await edge(`${KEYS}/${id}`, { method: "DELETE", key: "dev-admin" });
    clock.to(NOON + LATER_MS);
    expect(await statusOf(edge, first.key)).toBe(200);
    await makeAdmin(edge, first.key);
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
  });

  it("is none where the environment names another hash, or none", async () => {
    const first = await unmadeKey();
    for (const other of [null, await unmadeKey()])
      expect(await statusOf(deployedWith(other), first.key)).toBe(401);
  });

  it("asks models too, so that a page to try them in works", async () => {
    const first = await unmadeKey();
    expect((await deployedWith(first)("/v1/models", { key: first.key })).status).toBe(200);
  });
});

describe("where every admin key is lost", () => {
  it("a hash set anew is the way back in, and is dead once it made an admin key", async () => {
    const [first, anew] = [await unmadeKey(), await unmadeKey()];
    await makeAdmin(deployedWith(first), first.key);
    const edge = deployedWith(anew);
    expect(await statusOf(edge, anew.key)).toBe(200);
    const ops = await makeAdmin(edge, anew.key);
    expect(await statusOf(deployedWith(anew), anew.key)).toBe(401);
    expect(await statusOf(deployedWith(null), ops.key)).toBe(200);
  });

  it("the hash that was superseded stays dead, deployed again, alone or after others", async () => {
    const [first, anew] = [await unmadeKey(), await unmadeKey()];
    await makeAdmin(deployedWith(first), first.key);
    expect(await statusOf(deployedWith(first), first.key)).toBe(401);
    await makeAdmin(deployedWith(anew), anew.key);
    for (const old of [first, anew]) expect(await statusOf(deployedWith(old), old.key)).toBe(401);
  });

  it("the use of the new one is in the audit, once, before what was done with it", async () => {
    const [first, anew] = [await unmadeKey(), await unmadeKey()];
    const ops = await makeAdmin(deployedWith(first), first.key);
    const edge = deployedWith(anew);
    await statusOf(edge, anew.key);
    await statusOf(deployedWith(anew), anew.key);
    await makeAdmin(edge, anew.key);
    expect((await audit(edge, ops.key)).slice(0, 4)).toEqual([
      `${anew.id} key.create`,
      `${anew.id} first-key.use`,
      `${first.id} key.create`,
      `${first.id} first-key.use`,
    ]);
  });
});
