// Clients that leave, at any moment: every slot they had is proved idle, and nothing of them stays. The servers are so
// slow that no call ends by itself before its client leaves it.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import type { Finished } from "../../sim/llama/ledger.ts";
import { until } from "../../support/until.ts";
import { ask, stateOf, switchServer, type Stack } from "../support/ask.ts";
import {
  addressOf,
  callAgent,
  callFor,
  codeOf,
  figure,
  print,
  type CallAnswer,
} from "../support/agent-call.ts";

const SEED = 4;
/** A minute and a half of text. */
const PACE = { tokensPerSecond: 10, promptTokensPerSecond: 400 } as const;
const CAP = 900;

const PORTS = [8080, 8081, 8082, 8084, 8085];
const SLOTS = 2;
const AGENT_TYPES = ["Default", "Chat", "Scribe", "Claims", "Clinical"];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: PACE });
  await until(
    async () => (await slotsThatAre("free")) === PORTS.length * SLOTS,
    "the slots of all servers are free",
  );
});
beforeEach(() => pace(PACE));
afterAll(() => stack?.stop());

async function pace(switches: Partial<typeof PACE> | object): Promise<void> {
  await Promise.all(PORTS.map((port) => switchServer(stack, port, switches)));
}

const slotsThatAre = (use: string): Promise<number> => figure(addressOf(stack), "isha_slots", `use="${use}"`);

const queued = (): Promise<number> => figure(addressOf(stack), "isha_queued");

/** Aborts of which the agent has seen that their slots are idle. */
const proofs = (): Promise<number> => figure(addressOf(stack), "isha_abort_to_free_seconds_count");

const untilAllIdle = (): Promise<boolean> =>
  until(async () => {
    for (const port of PORTS) {
      const { generating, deferred } = await stateOf(stack, port);
      if (generating + deferred > 0) return false;
    }
    return (await slotsThatAre("free")) === PORTS.length * SLOTS && (await queued()) === 0;
  }, "every slot is idle, every place free");

/** A prompt with a word of its own, by which the servers' books name the call. */
const promptOf = (name: string, words = 60): object[] => [
  {
    role: "user",
    content: [`${name}.`, ...Array.from({ length: words }, (_, at) => `finding${at}`)].join(" "),
  },
];

/** What the servers did for calls of this name. */
async function endsOf(name: string): Promise<Finished[]> {
  const states = await Promise.all(PORTS.map((port) => stateOf(stack, port)));
  return states.flatMap(({ finished }) => finished).filter(({ receivedBody }) => receivedBody.includes(name));
}

/** Each was broken off, long before its end. */
function expectBrokenOff(ends: readonly Finished[]): void {
  expect(ends.filter(({ outcome }) => outcome !== "aborted")).toEqual([]);
  expect(Math.max(...ends.map(({ generatedTokens }) => generatedTokens))).toBeLessThan(CAP / 2);
}

/** A moment that depends on nothing in the call. */
async function looks(count: number): Promise<void> {
  let made = 0;
  await until(() => made++ >= count, "so many looks");
}

test("calls left while they wait reach no server; calls left in their prompt give their slots back", async () => {
  await pace({ promptTokensPerSecond: 20 });
  const before = await proofs();
  const send = (name: string, count: number): { leave(): void; readonly ended: Promise<CallAnswer[]> } => {
    const leaving = new AbortController();
    const calls = Array.from({ length: count }, (_, number) => {
      const call = callFor(PORTS[number % PORTS.length] ?? 0, {
        keyId: `key-${number}`,
        set: { n_predict: 300 },
      });
      const body = { messages: promptOf(name, 500), ignore_eos: true };
      return callAgent(addressOf(stack), call, { body, signal: leaving.signal });
    });
    return { leave: () => leaving.abort(), ended: Promise.all(calls) };
  };
  const running = send("prompt-call", PORTS.length * SLOTS);
  await until(async () => {
    const states = await Promise.all(PORTS.map((port) => stateOf(stack, port)));
    return states.every(({ generating }) => generating === SLOTS);
  }, "every slot is at work");
  const waiting = send("waiting-call", 20);
  await until(async () => (await queued()) === 20, "all others wait");
  waiting.leave();
  await until(async () => (await queued()) === 0, "none waits");
  running.leave();
  await untilAllIdle();

  const answers = [...(await waiting.ended), ...(await running.ended)];
  expect(answers.filter(({ ended }) => ended !== "left")).toEqual([]);
  expect(await endsOf("waiting-call")).toEqual([]);
  const ends = await endsOf("prompt-call");
  expect(ends).toHaveLength(PORTS.length * SLOTS);
  expectBrokenOff(ends);
  expect(await proofs()).toBe(before + ends.length);
});

test("140 that leave the agent at any moment, streamed or not: each that had a slot is proved ended", async () => {
  const random = new SeededRandom(SEED);
  const before = await proofs();
  const calls = await Promise.all(
    Array.from({ length: 140 }, async (_, number) => {
      const name = `storm-${number}.`;
      const leaving = new AbortController();
      // Half of them leave after some words, the others after some looks.
      const words = number % 2 === 0 ? 1 + random.below(6) : Infinity;
      const stream = words < Infinity || random.chance(0.5);
      let heard = 0;
      const call = callFor(PORTS[number % PORTS.length] ?? 0, {
        stream,
        keyId: `key-${number % 20}`,
        set: { n_predict: CAP },
      });
      const answered = callAgent(addressOf(stack), call, {
        body: { messages: promptOf(name), ignore_eos: true },
        signal: leaving.signal,
        onPiece: (piece) => {
          if (piece.includes('"content":"') && ++heard >= words) leaving.abort();
        },
      });
      if (words === Infinity) void looks(random.below(150)).then(() => leaving.abort());
      return { name, stream, heard: () => heard > 0, answer: await answered };
    }),
  );
  await untilAllIdle();

  const left = calls.filter(({ answer }) => answer.ended === "left");
  // The others were refused at once.
  const refused = calls.filter((call) => !left.includes(call));
  expect(new Set(refused.map(({ answer }) => codeOf(answer)))).toEqual(
    new Set(refused.length > 0 ? ["overloaded"] : []),
  );
  const ends = await Promise.all(left.map(({ name }) => endsOf(name)));
  expectBrokenOff(ends.flat());
  for (const [at, { heard }] of left.entries()) {
    const count = ends[at]?.length ?? 0;
    if (heard()) expect(count).toBe(1);
    else expect(count).toBeLessThanOrEqual(1);
  }
  // A call that was left on its way to a server has no end there, and is proved all the same.
  expect((await proofs()) - before).toBeGreaterThanOrEqual(ends.flat().length);
  const counts = {
    midStream: left.filter(({ heard }) => heard()).length,
    beforeAWord: left.filter(({ stream, heard }) => stream && !heard()).length,
    unstreamed: left.filter(({ stream }) => !stream).length,
    refused: refused.length,
  };
  print(`140 left the agent, seed ${SEED}`, { ...counts, reachedAServer: ends.flat().length });
  expect(counts.midStream).toBeGreaterThan(20);
  expect(counts.unstreamed).toBeGreaterThan(10);
});

type Left = "before its headers" | "mid-stream" | "answered" | `refused ${number}`;

/** Asks through the edge for one of the agent types, and leaves when `leaving` says so. */
async function askAndLeave(
  number: number,
  asked: { readonly stream: boolean; readonly max_tokens: number; readonly messages: object[] },
  leaving: AbortController,
  onText: () => void = () => {},
): Promise<Left> {
  const type = AGENT_TYPES[number % AGENT_TYPES.length];
  let how: Left = "before its headers";
  try {
    const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
      body: JSON.stringify({ ...asked, ignore_eos: true, ...(type === "Default" ? {} : { model: type }) }),
      signal: leaving.signal,
    });
    if (!response.ok) return `refused ${response.status}`;
    how = "mid-stream";
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      if (piece.includes('"content":"')) onText();
    }
    return "answered";
  } catch (error) {
    if (!leaving.signal.aborted) throw error;
    return how;
  }
}

function countsOf(all: readonly Left[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const how of all) counts[how] = (counts[how] ?? 0) + 1;
  return counts;
}

test("60 that leave through the edge: their streams are broken off at the servers too", async () => {
  const random = new SeededRandom(SEED + 1);
  const calls = await Promise.all(
    Array.from({ length: 60 }, async (_, number) => {
      const leaving = new AbortController();
      const words = number % 2 === 0 ? 1 + random.below(6) : Infinity;
      let heard = 0;
      if (words === Infinity) void looks(random.below(150)).then(() => leaving.abort());
      const asked = { stream: true, max_tokens: CAP, messages: promptOf("edge-stream") };
      return askAndLeave(number, asked, leaving, () => {
        if (++heard >= words) leaving.abort();
      });
    }),
  );
  await untilAllIdle();
  const counts = countsOf(calls);
  const ends = await endsOf("edge-stream");
  print(`60 left through the edge, seed ${SEED + 1}`, { ...counts, reachedAServer: ends.length });
  expectBrokenOff(ends);
  expect(counts["answered"]).toBeUndefined();
  expect(counts["mid-stream"]).toBeGreaterThan(0);
  expect(ends.length).toBeGreaterThanOrEqual(counts["mid-stream"] ?? 0);
  const answer = await ask(stack, { messages: promptOf("after them"), max_tokens: 5 });
  expect(answer.status).toBe(200);
});

/**
 * The edge writes nothing before the whole answer, so it can't notice; nor can the agent. What is promised is an
 * upper bound: none of them costs more than its cap, and none is there after its deadline.
 */
test("40 unstreamed that leave through the edge: each costs at most its cap, then its slot is idle", async () => {
  await pace({ tokensPerSecond: 1 });
  const cap = 200;
  const all = new AbortController();
  let refused = 0;
  const calls = Array.from({ length: 40 }, async (_, number) => {
    const asked = { stream: false, max_tokens: cap, messages: promptOf("unstreamed") };
    const how = await askAndLeave(number, asked, all);
    if (how.startsWith("refused")) refused += 1;
    return how;
  });
  const accepted = await until(async () => {
    const here = (await slotsThatAre("leased")) + (await queued());
    return here + refused === 40 && here;
  }, "each call runs, waits or is refused");
  all.abort();
  const counts = countsOf(await Promise.all(calls));
  await pace({ tokensPerSecond: 0 });
  await untilAllIdle();
  const ends = await endsOf("unstreamed");
  print("40 unstreamed left through the edge", {
    ...counts,
    ranToTheirCap: ends.filter(({ outcome }) => outcome === "complete").length,
  });
  expect(counts["before its headers"]).toBe(accepted);
  expect(accepted).toBeGreaterThan(20);
  expect(ends).toHaveLength(accepted);
  expect(Math.max(...ends.map(({ generatedTokens }) => generatedTokens))).toBeLessThanOrEqual(cap);
});

test("unstreamed calls that are left unnoticed end at their deadline, and their slots are idle", async () => {
  const before = await proofs();
  const calls = PORTS.flatMap((port) => [port, port]).map(async (port, number) => {
    const call = callFor(port, {
      stream: false,
      deadlineMs: 1_500,
      keyId: `key-${number}`,
      set: { n_predict: CAP },
    });
    const body = { messages: promptOf("deadline"), ignore_eos: true };
    return codeOf(await callAgent(addressOf(stack), call, { body }));
  });
  expect(new Set(await Promise.all(calls))).toEqual(new Set(["deadline_exceeded"]));
  await untilAllIdle();
  const ends = await endsOf("deadline");
  expectBrokenOff(ends);
  expect((await proofs()) - before).toBeGreaterThanOrEqual(ends.length);
});
