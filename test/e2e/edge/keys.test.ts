// A key's life over real HTTP: made, used, changed, rotated, expired, revoked; under load, and through the edge's end.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AuditList, KeyList, KeyView, KeyWithSecret } from "../../../shared/keys.ts";
import { CHEST_PAIN, fetchEdge, startReady, type Stack } from "../support/ask.ts";
import { startLoad, type Fate } from "../support/keyed-load.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 400, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

/** How long a revoked key may go on: a lease's life, counted from the revocation's answer. */
const LEASE_MS = 1_000;

async function admin<T>(method: string, path: string, body?: object): Promise<{ status: number; value: T }> {
  const response = await fetchEdge(`${stack.edgeUrl}/admin${path}`, {
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
  const response = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": key },
    body: JSON.stringify({ max_tokens: 3, messages: CHEST_PAIN, ...body }),
  });
  const answer = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: answer.error?.code ?? null };
}

const counted = (fates: readonly Fate[], wanted: (fate: Fate) => boolean): number =>
  fates.filter(wanted).length;
/** Let in at the edge; a stream that waited at its box when its key was revoked was refused there, after its headers. */
const isAdmitted = ({ status, code }: Fate): boolean => status === 200 && code !== "invalid_key";
/** Refused for its key, or broken off. More calls than the key may make in a second are no failure of it. */
const hasFailed = (fate: Fate): boolean =>
  fate.code !== "rate_limited_key" && (!isAdmitted(fate) || !fate.whole);

test("a key is made, used, held to its agent types, and expires", async () => {
  const { id, key } = await newKey({ agents: ["clinical"] });
  expect(await call(key, { agent_type: "Clinical" })).toEqual({ status: 200, code: null });
  expect(await call(key, { agent_type: "Claims" })).toEqual({ status: 403, code: "agent_not_allowed" });
  const changed = await admin<KeyView>("PATCH", `/keys/${id}`, { agents: ["Claims"] });
  expect(changed.value.agents).toEqual(["Claims"]);
  // Leases of the key as it was end within a second.
  await until(async () => (await call(key, { agent_type: "Clinical" })).status === 403, "the change counts");
  expect((await call(key, { agent_type: "Claims" })).status).toBe(200);

  let expiresAt = "";
  await until(async () => {
    expiresAt = new Date(Date.now() + 1_500).toISOString();
    // A moment that has passed by the time it arrives is refused.
    return (await admin("PATCH", `/keys/${id}`, { expiresAt })).status === 200;
  }, "the key has an end");
  await until(() => Date.now() > Date.parse(expiresAt), "the key's end");
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
  const made = await newKey();
  const old = startLoad({ stack, key: made.key, askers: 4, streamers: 1 });
  await until(() => counted(old.fates, isAdmitted) >= 50, "load before the rotation");
  const { status, value } = await admin<KeyWithSecret>("POST", `/keys/${made.id}/rotate`, {
    graceSeconds: 600,
  });
  const answeredAt = Date.now();
  expect(status).toBe(200);
  const fresh = startLoad({ stack, key: value.key, askers: 4, streamers: 1 });
  const isAfter = (fate: Fate): boolean => isAdmitted(fate) && fate.sentAt > answeredAt;
  for (const { fates } of [old, fresh]) {
    await until(() => counted(fates, isAfter) >= 50, "calls by this secret since the rotation");
    await until(() => counted(fates, (fate) => isAfter(fate) && fate.stream) >= 3, "streams by this secret");
  }
  await Promise.all([old.stop(), fresh.stop()]);
  const graceEnds = Date.parse(value.oldSecretUntil ?? "");
  expect(graceEnds).toBeGreaterThan(Date.now());
  expect([...old.fates, ...fresh.fates].filter(hasFailed)).toEqual([]);
});

test("under load, the old secret is refused from its grace's end on, and not before", async () => {
  const made = await newKey();
  const old = startLoad({ stack, key: made.key, askers: 2, streamers: 1 });
  await until(() => counted(old.fates, isAdmitted) >= 20, "load before the rotation");
  const { value } = await admin<KeyWithSecret>("POST", `/keys/${made.id}/rotate`, { graceSeconds: 2 });
  const fresh = startLoad({ stack, key: value.key, askers: 2, streamers: 0 });
  const graceEnds = Date.parse(value.oldSecretUntil ?? "");
  await until(() => old.fates.some(({ status }) => status === 401), "the old secret is refused");
  await Promise.all([old.stop(), fresh.stop()]);
  // What was sent within the grace may reach the edge after it, so only what was answered within it must be let in.
  expect(old.fates.filter((fate) => fate.cameAt < graceEnds && hasFailed(fate))).toEqual([]);
  expect(old.fates.filter((fate) => fate.sentAt > graceEnds && isAdmitted(fate))).toEqual([]);
  expect(fresh.fates.filter(hasFailed)).toEqual([]);
  expect(await call(made.key, {})).toEqual({ status: 401, code: "invalid_key" });
});

// The last: afterwards this address has shown more bad keys than it may in a minute.
test("under load, no call is admitted later than a second after a revocation's answer", async () => {
  const { id, key } = await newKey();
  const load = startLoad({ stack, key, askers: 8, streamers: 3 });
  await until(() => counted(load.fates, isAdmitted) >= 150, "steady load before the revocation");
  // Leases of the window that follows are asked for ahead: those are the ones that could live on.
  const seconds = (): number =>
    new Set(load.fates.filter(isAdmitted).map(({ sentAt }) => Math.floor(sentAt / 1_000))).size;
  await until(() => seconds() >= 4, "load over several windows");
  expect((await admin("DELETE", `/keys/${id}`)).status).toBe(200);
  const answeredAt = Date.now();
  const isLate = ({ sentAt }: Fate): boolean => sentAt > answeredAt + LEASE_MS;
  await until(() => counted(load.fates, isLate) >= 30, "calls well after the revocation");
  await load.stop();
  const { fates } = load;
  const late = fates.filter((fate) => isAdmitted(fate) && fate.sentAt > answeredAt);
  const lastMs = Math.max(0, ...late.map(({ sentAt }) => sentAt - answeredAt));
  console.log(
    `revocation: ${counted(fates, isAdmitted)} calls admitted, ${late.length} of them sent after its answer, the last ` +
      `${lastMs} ms after; ${counted(fates, (fate) => !isAdmitted(fate))} refused`,
  );
  // The edge decides between sending and answer, and its objects' answers count from when they were asked: so this
  // holds on a machine that freezes, too.
  expect(fates.filter((fate) => isAdmitted(fate) && isLate(fate))).toEqual([]);
  expect(fates.filter(({ status }) => ![200, 401, 429].includes(status))).toEqual([]);
  // What ran when the key was revoked came to its end.
  expect(fates.filter((fate) => isAdmitted(fate) && hasFailed(fate))).toEqual([]);
});
