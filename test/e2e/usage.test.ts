// Usage is never lost and never doubled, whatever dies or breaks on its way from a server to the ledger, and the tokens
// of finished calls are the server's own, however many of them came in an event.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { SeededRandom } from "../shared/seeded-random.ts";
import {
  askReady as ask,
  CHEST_PAIN,
  json,
  serversReady,
  startReady,
  stateOf,
  switchServer,
  type Stack,
} from "./ask.ts";
import { startTornLink, type TornLink } from "./torn-link.ts";
import { UsageProof, type Made, type Settled } from "./usage-proof.ts";
import { until } from "../support/until.ts";

/** Tokens a slot makes in a second: slow enough that half of a call is something, quick enough for many of them. */
const PACE = 120;
const CLIENTS = 10;

/** Where answers stand still: less than a slot makes in a second, however late it is noticed. */
const STANDS_AT = 60;

const BOX = "box1";

let stack: Stack;
let way: TornLink;
let proof: UsageProof;
let isLinked = false;
/** How often the agent has noticed that its link's other end is silent. */
let silences = 0;
const random = new SeededRandom(5);

beforeAll(async () => {
  way = await startTornLink();
  stack = await startReady({
    simulator: {
      tokensPerSecond: PACE,
      promptTokensPerSecond: 100_000,
      switches: { tokensPerEvent: [0, 2, 3, 1] },
    },
    agentEnv: { EDGE_URL: way.url },
    onLine: (_, line) => {
      if (line.includes('"event":"link"')) isLinked = line.includes('"state":"open"');
      if (line.includes('"why":"silent"')) silences += 1;
    },
  });
  way.lead(stack.edgeUrl);
  // Its pauses before it dials again have grown while there was no way: a new one dials at once.
  await stack.restartAgent(BOX);
  await serversReady(stack);
  proof = new UsageProof(stack);
});
beforeEach(() => proof.forget());
afterEach(async () => {
  for (const port of proof.ports)
    await switchServer(stack, port, { cutAfterTokens: null, stallAfterTokens: null });
});
afterAll(async () => {
  await stack?.stop();
  await way?.close();
});

/** Keeps the box busy while something happens to it, before that and after it. */
async function duringLoad(what: () => Promise<void>): Promise<void> {
  let over = false;
  const load = proof.load(CLIENTS, () => over);
  try {
    await proof.answered(CLIENTS);
    await what();
    await proof.answered(CLIENTS);
  } finally {
    over = true;
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
        proof.callLetIn(port, { tokens: 20 + random.below(30), call: { stream, format } }),
      ),
    ),
  );
  const made = await Promise.all(calls);
  const settled = await proof.settle(PACE);
  expect(settled.whole).toBe(made.length);
  expect(settled.tokensBooked).toBe(settled.tokens);
  // Counting events would be wrong: that is what these servers are for.
  const generated = await proof.generated();
  const streams = made.filter(({ events }) => events > 0);
  for (const { name, events } of streams) expect(events).not.toBe(generated.get(name)?.[0]?.generatedTokens);
  print("finished", settled);
});

test("what the edge's own callers get as usage is what their key is billed", async () => {
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
  for (const port of proof.ports) await switchServer(stack, port, { stallAfterTokens: STANDS_AT });
  const early = proof.ports.flatMap((port) =>
    [3, 20].map((leaveAfter) => proof.callLetIn(port, { tokens: 300, leaveAfter })),
  );
  await Promise.all(early);
  const watched = await Promise.all(proof.ports.map(leaveWhenLookedAt));
  // A server goes on for a moment after its client left: not one token more, while it stands still.
  for (const port of proof.ports)
    await until(async () => (await stateOf(stack, port)).generating === 0, "the slots are free");
  for (const port of proof.ports)
    await switchServer(stack, port, { stallAfterTokens: null, cutAfterTokens: 90 });
  const broken = proof.ports.map((port) =>
    proof.callLetIn(port, { tokens: 300, call: { continuable: false } }),
  );
  await Promise.all(broken);
  const settled = await proof.settle(PACE);
  expect(settled).toMatchObject({ calls: 20, whole: 0, estimated: 20 });
  // What the agent saw in the server's slots before the client left is exact.
  const [booked, generated] = [await proof.booked(), await proof.generated()];
  for (const { name } of watched)
    expect(booked?.get(name)?.completionTokens).toBe(generated.get(name)?.[0]?.generatedTokens);
  print("aborted and broken", settled);
});

/** A call that stands still, and whose client leaves once the agent has looked at the server's slots since. */
async function leaveWhenLookedAt(port: number): Promise<Made> {
  const leaving = new AbortController();
  const made = proof.callLetIn(port, { tokens: 300, leaving });
  const server = stack.boxes[0]?.servers.find((one) => one.port === port);
  const headers = { authorization: `Bearer ${stack.llamaApiKey}` };
  await until(async () => {
    const slots = await (await fetch(`${server?.url ?? ""}/slots`, { headers })).text();
    return Number(/"n_decoded":([1-9]\d*)/.exec(slots)?.[1] ?? 0) >= STANDS_AT;
  }, "the answer stands still");
  const looks = async (): Promise<number> => (await stateOf(stack, port)).requestsByRoute["/slots"] ?? 0;
  const before = await looks();
  // The first may have begun before; the second begins once the first was taken in, and so on.
  await until(async () => (await looks()) >= before + 3, "the agent has looked at it");
  leaving.abort();
  return made;
}

test("kill -9 of the edge", async () => {
  await duringLoad(async () => {
    await proof.answered(random.below(CLIENTS));
    await stack.stopEdge();
  });
  await stack.startEdge();
  print("edge killed", await proof.settle(PACE));
});

test("kill -9 of both", async () => {
  await duringLoad(async () => {
    await proof.answered(random.below(CLIENTS));
    await proof.death(async () => {
      await Promise.all([stack.stopEdge(), stack.killAgent(BOX)]);
    });
    await stack.startEdge();
    await stack.startAgent(BOX);
  });
  print("both killed", await proof.settle(PACE));
});

test("kill -9 of the agent", async () => {
  const [port = 0] = proof.ports;
  await duringLoad(async () => {
    for (let times = 0; times < 2; times += 1) {
      await proof.answered(random.below(2 * CLIENTS));
      // Calls of one server stand still, so that some are cut in the middle.
      await switchServer(stack, port, { stallAfterTokens: 10 });
      await until(async () => (await stateOf(stack, port)).generating > 0, "a call runs");
      await proof.death(() => stack.killAgent(BOX));
      await switchServer(stack, port, { stallAfterTokens: null });
      await stack.startAgent(BOX);
      await proof.answered(random.below(2 * CLIENTS));
    }
  });
  const settled = await proof.settle(PACE);
  expect(settled.estimated).toBeGreaterThan(0);
  print("agent killed twice", settled);
});

// After a new agent, whose pauses before it dials again are short.
test("a link that is torn in the middle of a frame, and one that only seems to be there", async () => {
  const before = way.tears();
  await duringLoad(async () => {
    for (let tear = 0; tear < 3; tear += 1) await way.tearAfter(50 + random.below(2_500));
  });
  await until(() => isLinked, "the link is there again");
  const silent = silences;
  await duringLoad(async () => {
    way.deafen();
    await until(() => silences > silent, "the agent notices that its link is silent");
  });
  expect(way.tears() - before).toBeGreaterThanOrEqual(3);
  print("torn", await proof.settle(PACE));
});

test("after all of it no call is in the ledger twice", async () => {
  const booked = await proof.booked();
  const doubled = [...(booked ?? [])].filter(([name, { calls }]) => name.startsWith("call-") && calls !== 1);
  expect(doubled).toEqual([]);
  // Ten calls and more before and after each of what happened.
  expect(booked?.size).toBeGreaterThan(100);
  console.log(`in the ledger at the end: ${booked?.size} keys, one call each but for the edge's own`);
});
