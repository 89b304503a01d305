// A key's life over real HTTP: made, used, changed, rotated, expired, revoked; under load, and through the edge's end.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../scripts/stack.mjs";
import type { AuditList, KeyList, KeyView, KeyWithSecret } from "../../shared/keys.ts";
import { CHEST_PAIN, type Stack } from "./ask.ts";
import { startLoad, type Fate } from "./keyed-load.ts";
import { until } from "../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: { tokensPerSecond: 400, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

/** How long a revoked key may go on, milliseconds: a lease's life. */
const LEASE_MS = 1_000;

async function admin<T>(method: string, path: string, body?: object): Promise<{ status: number; value: T }> {
  const response = await fetch(`${stack.edgeUrl}/admin${path}`, {
    method,
    headers: {
      authorization: "Bearer dev-admin",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, value: (await response.json()) as T };
}

/** A key that one test uses alone, freed of the address limit: every call here comes from one address. */
async function newKey(more: object = {}): Promise<KeyWithSecret> {
  const { status, value } = await admin<KeyWithSecret>("POST", "/keys", {
    name: "e2e",
    addressExempt: true,
    ...more,
  });
  expect(status).toBe(201);
  return value;
}

async function call(key: string, body: object): Promise<{ status: number; code: string | null }> {
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body: JSON.stringify({ max_tokens: 3, messages: CHEST_PAIN, ...body }),
  });
  const answer = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: answer.error?.code ?? null };
}

const counted = (fates: readonly Fate[], wanted: (fate: Fate) => boolean): number =>
  fates.filter(wanted).length;
const isAdmitted = ({ status }: Fate): boolean => status === 200;

test("a key is made, used, held to its agent types, and expires", async () => {
  const { id, key } = await newKey({ agents: ["clinical"] });
  expect(await call(key, { agent_type: "Clinical" })).toEqual({ status: 200, code: null });
  expect(await call(key, { agent_type: "Claims" })).toEqual({ status: 403, code: "agent_not_allowed" });
  const changed = await admin<KeyView>("PATCH", `/keys/${id}`, { agents: ["Claims"] });
  expect(changed.value.agents).toEqual(["Claims"]);
  // Leases of the key as it was end within a second.
  await until(async () => (await call(key, { agent_type: "Clinical" })).status === 403, "the change counts");
  expect((await call(key, { agent_type: "Claims" })).status).toBe(200);

  const expiresAt = new Date(Date.now() + 1_500).toISOString();
  await admin("PATCH", `/keys/${id}`, { expiresAt });
  await until(async () => Date.now() > Date.parse(expiresAt), "the key's end");
  expect(await call(key, { agent_type: "Claims" })).toEqual({ status: 401, code: "expired_key" });
  const audit = await admin<AuditList>("GET", `/audit?target=${id}`);
  expect(audit.value.entries.map(({ action }) => action)).toEqual(["key.change", "key.change", "key.create"]);
});

test("keys, their revocation and the audit outlive the edge", async () => {
  const [kept, gone] = [await newKey({ name: "kept" }), await newKey({ name: "gone" })];
  await admin("DELETE", `/keys/${gone.id}`);
  const rotated = await admin<KeyWithSecret>("POST", `/keys/${kept.id}/rotate`, { graceSeconds: 600 });
  const before = await admin<KeyList>("GET", "/keys");
  await stack.stopEdge();
  await stack.startEdge();
  expect((await admin<KeyList>("GET", "/keys")).value).toEqual(before.value);
  for (const { key } of [kept, rotated.value]) expect((await call(key, {})).status).toBe(200);
  expect(await call(gone.key, {})).toEqual({ status: 401, code: "invalid_key" });
  expect((await admin("PATCH", `/keys/${gone.id}`, { name: "back" })).status).toBe(400);
});

test("under load, a rotation fails no call within its grace, by either secret", async () => {
  const graceSeconds = 3;
  const made = await newKey();
  const old = startLoad({ stack, key: () => made.key, askers: 6, streamers: 2, pauseMs: 5 });
  await until(async () => counted(old.fates, isAdmitted) > 100, "load before the rotation");
  const { status, value } = await admin<KeyWithSecret>("POST", `/keys/${made.id}/rotate`, { graceSeconds });
  const answeredAt = Date.now();
  expect(status).toBe(200);
  const fresh = startLoad({ stack, key: () => value.key, askers: 6, streamers: 2, pauseMs: 5 });
  const graceEnds = Date.parse(value.oldSecretUntil ?? "");
  expect(graceEnds).toBeGreaterThan(answeredAt);
  // Calls that can no longer reach the edge within the grace prove nothing.
  await until(async () => Date.now() > graceEnds - 200, "the grace's end comes near");
  await old.stop();
  await until(async () => Date.now() > graceEnds, "the grace's end");
  const [probe] = await Promise.all([call(made.key, {}), fresh.stop()]);
  const within = [...old.fates, ...fresh.fates].filter(({ sentAt }) => sentAt < graceEnds - 200);
  console.log(
    `rotation: ${counted(old.fates, ({ sentAt }) => sentAt > answeredAt)} calls by the old secret and ` +
      `${fresh.fates.length} by the new one in ${graceSeconds} s of grace, ${counted(within, ({ stream }) => stream)} ` +
      `of all streams; ${counted(within, (fate) => !isAdmitted(fate))} failed`,
  );
  expect(within.filter((fate) => !isAdmitted(fate) || !fate.whole)).toEqual([]);
  expect(probe).toEqual({ status: 401, code: "invalid_key" });
});

// The last: afterwards this address has shown more bad keys than it may in a minute.
test("under load, no call is admitted later than a second after a revocation's answer", async () => {
  const { id, key } = await newKey();
  const startedAt = Date.now();
  const load = startLoad({ stack, key: () => key, askers: 12, streamers: 3, pauseMs: 1 });
  // Long enough for leases of the next window too: those are the ones that could live on.
  const isSteady = (): boolean => Date.now() > startedAt + 3_000 && counted(load.fates, isAdmitted) > 150;
  await until(async () => isSteady(), "steady load before the revocation");
  expect((await admin("DELETE", `/keys/${id}`)).status).toBe(200);
  const answeredAt = Date.now();
  await until(async () => Date.now() > answeredAt + 3 * LEASE_MS, "calls well after the revocation");
  await load.stop();
  const { fates } = load;
  const late = fates.filter((fate) => isAdmitted(fate) && fate.sentAt > answeredAt);
  const after = fates.filter(({ sentAt }) => sentAt > answeredAt);
  const lastMs = Math.max(0, ...late.map(({ sentAt }) => sentAt - answeredAt));
  console.log(
    `revocation: ${counted(fates, isAdmitted)} calls admitted, ${late.length} of them sent after its answer, the last ` +
      `${lastMs} ms after; ${counted(after, (fate) => !isAdmitted(fate))} refused`,
  );
  expect(lastMs).toBeLessThanOrEqual(LEASE_MS);
  expect(counted(after, ({ status }) => status === 401 || status === 429)).toBeGreaterThan(10);
  expect(fates.filter(({ status }) => ![200, 401, 429].includes(status))).toEqual([]);
  // What ran when the key was revoked came to its end.
  expect(fates.filter((fate) => fate.stream && isAdmitted(fate) && !fate.whole)).toEqual([]);
});
