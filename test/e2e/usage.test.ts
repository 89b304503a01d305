// Usage is never lost and never doubled, whatever dies or breaks on its way from a server to the ledger, and the tokens
// of finished calls are the server's own, however many of them came in an event.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startStack } from "../../scripts/stack.mjs";
import { SeededRandom } from "../shared/seeded-random.ts";
import { ask, CHEST_PAIN, json, switchServer, type Stack } from "./ask.ts";
import { startTornLink, type TornLink } from "./torn-link.ts";
import { UsageProof, type Settled } from "./usage-proof.ts";
import { until } from "../support/until.ts";

/** Tokens a slot makes in a second: slow enough that half of a call is something, quick enough for many of them. */
const PACE = 120;
const CLIENTS = 10;

/** How often it is looked up what the servers did, milliseconds: they remember a hundred calls each. */
const COLLECT_MS = 2_000;

let stack: Stack;
let way: TornLink;
let proof: UsageProof;
const random = new SeededRandom(5);

beforeAll(async () => {
  way = await startTornLink();
  stack = await startStack({
    simulator: {
      tokensPerSecond: PACE,
      promptTokensPerSecond: 100_000,
      switches: { tokensPerEvent: [0, 2, 3, 1] },
    },
    agentEnv: { EDGE_URL: way.url },
  });
  way.lead(stack.edgeUrl);
  proof = new UsageProof(stack);
});
beforeEach(() => proof.forget());
afterEach(async () => {
  for (const port of proof.ports) await switchServer(stack, port, { cutAfterTokens: null });
});
afterAll(async () => {
  await stack?.stop();
  await way?.close();
});

const BOX = "box1";
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Keeps the box busy while something happens to it. */
async function duringLoad(what: () => Promise<void>): Promise<void> {
  let over = false;
  const load = proof.load(CLIENTS, () => over);
  const collecting = setInterval(() => void proof.collect(), COLLECT_MS);
  try {
    await pause(500);
    await what();
    await pause(500);
  } finally {
    over = true;
    clearInterval(collecting);
    await load;
  }
}

function print(what: string, { calls, whole, estimated, tokens, tokensBooked, mostOff }: Settled): void {
  console.log(
    `${what}: ${calls} calls booked once each; ${whole} whole with ${tokensBooked} tokens (${tokens} generated), ` +
      `${estimated} without their end, at most ${mostOff} tokens off`,
  );
}

test("finished calls are exact to the token, where events have 0, 2 or 3 of them", async () => {
  const calls = proof.ports.flatMap((port) =>
    [true, false].flatMap((stream) =>
      (["openai", "mediczy"] as const).map((format) =>
        proof.call(port, { tokens: 20 + random.below(30), call: { stream, format } }),
      ),
    ),
  );
  const made = await Promise.all(calls);
  const settled = await proof.settle(PACE);
  expect(settled.whole).toBe(made.length);
  expect(settled.tokensBooked).toBe(settled.tokens);
  // Who counted events would be wrong: that is what these servers are for.
  const generated = await proof.generated();
  const streams = made.filter(({ events }) => events > 0);
  for (const { name, events } of streams) expect(events).not.toBe(generated.get(name)?.[0]?.generatedTokens);
  print("finished", settled);
});

test("what the edge's own callers were told is what their key is billed", async () => {
  const before = (await proof.booked())?.get("dev-key");
  let tokens = 0;
  for (let at = 0; at < 6; at += 1) {
    const answer = await ask(stack, { agent_type: "Clinical", max_tokens: 10 + at, messages: CHEST_PAIN });
    tokens += json<{ usage: { completion_tokens: number } }>(answer).usage.completion_tokens;
  }
  await until(async () => {
    const now = (await proof.booked())?.get("dev-key");
    return (now?.calls ?? 0) - (before?.calls ?? 0) >= 6;
  }, "the edge's calls are in the ledger");
  const after = (await proof.booked())?.get("dev-key");
  expect((after?.completionTokens ?? 0) - (before?.completionTokens ?? 0)).toBe(tokens);
  expect((after?.calls ?? 0) - (before?.calls ?? 0)).toBe(6);
});

test("aborted and broken calls are there once, estimated, within one second's tokens", async () => {
  const left = proof.ports.flatMap((port) =>
    [3, 20].map((leaveAfter) => proof.call(port, { tokens: 300, leaveAfter })),
  );
  await Promise.all(left);
  for (const port of proof.ports) await switchServer(stack, port, { cutAfterTokens: 90 });
  const broken = proof.ports.map((port) => proof.call(port, { tokens: 300, call: { continuable: false } }));
  await Promise.all(broken);
  const settled = await proof.settle(PACE);
  expect(settled).toMatchObject({ calls: 15, whole: 0, estimated: 15 });
  print("aborted and broken", settled);
});

test("a link that is torn in the middle of a frame, and one that only seems to be there", async () => {
  const before = way.tears();
  await duringLoad(async () => {
    for (let tear = 0; tear < 3; tear += 1) await way.tearAfter(50 + random.below(2_500));
  });
  await until(async () => way.open() > 0, "the link is there again");
  await duringLoad(async () => {
    way.deafen();
    await until(
      async () => stack.logs(`agent ${BOX}`).some((line) => line.includes('"why":"silent"')),
      "the agent notices that nobody listens",
    );
  });
  expect(way.tears() - before).toBeGreaterThanOrEqual(3);
  print("torn", await proof.settle(PACE));
});

test("kill -9 of the agent", async () => {
  const deaths: number[] = [];
  await duringLoad(async () => {
    for (let times = 0; times < 2; times += 1) {
      await pause(random.below(700));
      deaths.push(performance.now());
      await stack.killAgent(BOX);
      await stack.startAgent(BOX);
      await pause(random.below(700));
    }
  });
  const settled = await proof.settle(PACE, deaths);
  expect(settled.estimated).toBeGreaterThan(0);
  print("agent killed twice", settled);
});

test("kill -9 of the edge", async () => {
  await duringLoad(async () => {
    await pause(random.below(500));
    await stack.stopEdge();
  });
  await stack.startEdge();
  print("edge killed", await proof.settle(PACE));
});

test("kill -9 of both", async () => {
  const deaths: number[] = [];
  await duringLoad(async () => {
    await pause(random.below(500));
    deaths.push(performance.now());
    await Promise.all([stack.stopEdge(), stack.killAgent(BOX)]);
    await Promise.all([stack.startEdge(), stack.startAgent(BOX)]);
  });
  print("both killed", await proof.settle(PACE, deaths));
});

test("after all of it no call is in the ledger twice", async () => {
  const booked = await proof.booked();
  const doubled = [...(booked ?? [])].filter(([name, { calls }]) => name.startsWith("call-") && calls !== 1);
  expect(doubled).toEqual([]);
  expect(booked?.size).toBeGreaterThan(100);
  console.log(`in the ledger at the end: ${booked?.size} keys, one call each but for the edge's own`);
});
