// A key's limits, set at the edge: how many calls it may make in a second and have at once, its revocation, which travels over
// the link to calls that wait, and its month, whose tokens come back from the box by way of the ledger.
import { randomBytes, randomInt } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  ask,
  askReady,
  CHEST_PAIN,
  errorOf,
  fetchEdge,
  forgetCalls,
  json,
  stateOf,
  startReady,
  switchServer,
  type Answer,
  type Stack,
} from "../support/ask.ts";
import { formatApiKey, KEY_SECRET_BYTES } from "../../../shared/api-key.ts";
import { FAILED_KEYS_A_MINUTE, RATE_WINDOW_MS } from "../../../shared/limits.ts";
import { bySecond, flood, numberIn, resetMs, stretches, type Seen } from "../support/limits.ts";
import { until } from "../../support/until.ts";

const PORT = 8085;

let stack: Stack;
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
  await until(async () => logHas('"event":"link","state":"open"'), "the agent is linked");
});
afterEach(() => switchServer(stack, PORT, { stall: false }));
afterAll(async () => {
  await stack?.stop();
});

const logHas = (words: string): boolean => stack.logs("agent box1").some((line) => line.includes(words));

interface NewKey {
  readonly id: string;
  readonly key: string;
}

async function admin(method: string, path: string, body?: object): Promise<Response> {
  return fetchEdge(`${stack.edgeUrl}/admin${path}`, {
    method,
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function newKey(limits: {
  readonly perSecond?: number;
  readonly concurrent?: number;
  readonly tokensPerMonth?: number;
}): Promise<NewKey> {
  // Calls that are asked again and again come from one address here.
  const response = await admin("POST", "/keys", { name: "a clinic", limits, addressExempt: true });
  expect(response.status).toBe(201);
  return (await response.json()) as NewKey;
}

/** Streamed, so that a call which waits isn't held back as a whole. */
const callOf = ({ key }: NewKey): Promise<Answer> =>
  ask(
    stack,
    { agent_type: "Clinical", stream: true, messages: CHEST_PAIN },
    { authorization: `Bearer ${key}` },
  );

/** The server has this many of the calls that were made since it stands still, and its slots are full of them. */
async function busy(count: number): Promise<void> {
  await until(async () => {
    const { generating, received } = await stateOf(stack, PORT);
    const ours = received.filter(({ path }) => path.startsWith("/v1/chat/completions"));
    return generating === count && ours.length === count;
  }, `${count} calls run`);
}

/** From now on nothing decodes; no call runs that was made before. */
async function standStill(): Promise<void> {
  await until(async () => (await stateOf(stack, PORT)).generating === 0, "no call runs");
  await switchServer(stack, PORT, { stall: true });
  await forgetCalls(stack, PORT);
}

async function queued(count: number): Promise<void> {
  const url = `${stack.boxes[0]?.agentUrl ?? ""}/metrics`;
  await until(
    async () =>
      new RegExp(`isha_queued.+priority="normal".* ${count}\n`).test(await (await fetch(url)).text()),
    `${count} calls wait`,
  );
}

test("a key has no more calls at once than it may, and the next as soon as one is over", async () => {
  const key = await newKey({ concurrent: 2 });
  await standStill();
  const running = [callOf(key), callOf(key)];
  await busy(2);
  const refused = await callOf(key);
  expect(refused.status).toBe(429);
  expect(errorOf(refused).code).toBe("concurrency_exceeded");
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  await switchServer(stack, PORT, { stall: false });
  for (const answer of running) expect((await answer).text).toContain("[DONE]");
  expect((await callOf(key)).status).toBe(200);
});

test("a key's revocation reaches its calls that wait; those that run finish", async () => {
  const key = await newKey({});
  await standStill();
  const running = [callOf(key), callOf(key)];
  await busy(2);
  const waiting = [callOf(key), callOf(key)];
  await queued(2);
  expect((await admin("DELETE", `/keys/${key.id}`)).ok).toBe(true);
  for (const answer of waiting) {
    const { status, text } = await answer;
    expect(text).toContain("invalid_key");
    // A call that had waited for two seconds has its headers already.
    expect([401, 200]).toContain(status);
  }
  await switchServer(stack, PORT, { stall: false });
  for (const answer of running) expect((await answer).text).toContain("[DONE]");
  await until(async () => (await callOf(key)).status === 401, "the edge refuses the key");
});

test("a key whose month is spent calls no model until the next one, and may still ask what there is", async () => {
  // The question alone has more tokens.
  const key = await newKey({ tokensPerMonth: 5 });
  expect((await callOf(key)).text).toContain("[DONE]");
  let answer = await callOf(key);
  await until(async () => {
    if (answer.status === 200) answer = await callOf(key);
    return answer.status !== 200;
  }, "the tokens reach the ledger, and their sum the key");
  expect([answer.status, errorOf(answer).code]).toEqual([429, "quota_exceeded"]);
  // Tokens that the edge leased before the month was spent are gone with their second: these come from the key's object.
  for (let windows = 0; windows < 3; windows += 1) {
    const window = Math.floor(Date.now() / RATE_WINDOW_MS);
    await until(() => Math.floor(Date.now() / RATE_WINDOW_MS) > window + 1, "the window is over");
    const models = await fetchEdge(`${stack.edgeUrl}/v1/models`, {
      headers: { authorization: `Bearer ${key.key}` },
    });
    expect(models.status).toBe(200);
  }
  expect(errorOf(await callOf(key)).code).toBe("quota_exceeded");
});

test("a good key is admitted while its address sends many invalid ones: it was refused for a minute", async () => {
  const statusOf = async (key: string): Promise<number> => {
    const headers = { authorization: `Bearer ${key}` };
    return (await fetchEdge(`${stack.edgeUrl}/v1/models`, { headers })).status;
  };
  const send = async (invalid: number): Promise<number[]> =>
    Promise.all(
      Array.from({ length: invalid }, async () =>
        statusOf(formatApiKey(`Unknown${randomInt(1e9)}`, randomBytes(KEY_SECRET_BYTES))),
      ),
    );
  const { key } = await newKey({});
  expect(new Set(await send(FAILED_KEYS_A_MINUTE + 5))).toEqual(new Set([401]));
  // The edge doesn't know the key yet: its check waits for its turn among the others.
  const [invalid, good] = await Promise.all([send(20), statusOf(key)]);
  expect(good).toBe(200);
  expect(new Set(invalid)).toEqual(new Set([401]));
});

test("an agent that was restarted is linked again, and calls of the edge find it", async () => {
  await stack.restartAgent("box1");
  await until(async () => logHas('"event":"link","state":"open"'), "the new agent is linked");
  const key = await newKey({ concurrent: 1 });
  expect(
    json(await askReady(stack, { messages: CHEST_PAIN }, { authorization: `Bearer ${key.key}` })),
  ).toHaveProperty("choices");
});

// `test/limits/lease-simulation.test.ts` shows how much of a limit is usable.
/** So few that any machine asks oftener, and two that a fast one exceeds and a slow one may not. */
const QUOTAS = [3, 20, 200];
const SMALLEST = 3;

/** A flood is over when its limit has refused in this many seconds; a slow machine gives up on a higher limit. */
const WINDOWS = 4;
const MAX_CALLS = 600;

async function floodOf(quota: number): Promise<[number, readonly Seen[]]> {
  const { key } = await newKey({ perSecond: quota });
  const isEnough = (seen: readonly Seen[]): boolean =>
    (quota > SMALLEST && seen.length >= MAX_CALLS) || bySecond(seen).filter(wasReached).length >= WINDOWS;
  const seen = await flood(stack.edgeUrl, key, isEnough);
  const { admitted, seconds } = stretches(seen).reduce((all, one) => (one.seconds > all.seconds ? one : all));
  console.log(`limit ${quota}: ${admitted} of ${seen.length} let in within ${seconds} s`);
  return [quota, seen];
}

/** A second in which the limit refused. */
const wasReached = (second: readonly Seen[]): boolean => second.some(({ admitted }) => !admitted);

describe("calls a second", () => {
  let floods: ReadonlyMap<number, readonly Seen[]>;
  beforeAll(async () => {
    floods = new Map(await Promise.all(QUOTAS.map(floodOf)));
  });

  describe.each(QUOTAS)("a key of %i a second, asked as often as the machine can", (quota) => {
    const seen = (): readonly Seen[] => floods.get(quota) ?? [];

    test("is let in no oftener than that in any second, or in any seconds together", () => {
      for (const { seconds, admitted } of stretches(seen())) {
        expect(admitted).toBeLessThanOrEqual(quota * seconds);
      }
    });

    test("gets the limit in every answer, and never that more is left than is", () => {
      for (const second of bySecond(seen())) {
        const admitted = second.filter((one) => one.admitted);
        for (const one of admitted) {
          const before = admitted.filter(({ cameAt }) => cameAt < one.sentAt).length;
          const left = numberIn(one, "x-ratelimit-remaining-requests");
          expect(before + 1 + left).toBeLessThanOrEqual(quota);
        }
      }
      for (const one of seen()) {
        const remaining = one.headers["x-ratelimit-remaining-requests"];
        expect(one.headers["ratelimit-policy"]).toBe(`"key";q=${quota};w=1`);
        expect(one.headers["ratelimit"]).toBe(`"key";r=${String(remaining)};t=1`);
        expect(one.headers["x-ratelimit-limit-requests"]).toBe(String(quota));
        expect(resetMs(one)).toBeGreaterThan(0);
        expect(resetMs(one)).toBeLessThanOrEqual(1_000);
      }
    });

    test("gets in every refusal that nothing is left, and for how long", () => {
      const refused = seen().filter(({ admitted }) => !admitted);
      if (quota === SMALLEST) expect(refused.length).toBeGreaterThanOrEqual(WINDOWS);
      for (const one of refused) {
        expect(numberIn(one, "x-ratelimit-remaining-requests")).toBe(0);
        expect([1, 2]).toContain(numberIn(one, "retry-after"));
        expect(numberIn(one, "retry-after-ms")).toBeGreaterThan(0);
        // The rest of the window, and up to half of it as jitter.
        expect(numberIn(one, "retry-after-ms")).toBeLessThanOrEqual(1_500);
      }
    });
  });
});
