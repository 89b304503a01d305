// Clients that leave, at any moment: every slot they had is proved idle, and nothing of them stays.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
import { SeededRandom } from "../../support/seeded-random.ts";
import type { Finished } from "../../sim/llama/ledger.ts";
import { ask, stateOf, type Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, codeOf, figure, figures, print } from "../support/agent-call.ts";
import { until } from "../../support/until.ts";

const SEED = 4;
const TOKENS_PER_SECOND = 60;
const PROMPT_TOKENS_PER_SECOND = 400;
/** Five times what is promised: 200 ms of the agent's knowing, 1.5 s through the edge. */
const AT_THE_AGENT_MS = 1_000;
const THROUGH_THE_EDGE_MS = 7_500;

const PORTS = [8080, 8081, 8082, 8084, 8085];
const AGENT_TYPES = ["Default", "Chat", "Scribe", "Claims", "Clinical"];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    simulator: { tokensPerSecond: TOKENS_PER_SECOND, promptTokensPerSecond: PROMPT_TOKENS_PER_SECOND },
  });
});
afterAll(() => stack?.stop());

/** Its prompt takes a third of a second to process. */
const LONG = Array.from({ length: 60 }, (_, at) => `finding${at}`).join(" ");
const body = { messages: [{ role: "user", content: LONG }], ignore_eos: true };

async function allIdle(): Promise<boolean> {
  for (const port of PORTS) {
    const { generating, deferred } = await stateOf(stack, port);
    if (generating + deferred > 0) return false;
  }
  const at = addressOf(stack);
  const held = await Promise.all(
    ["leased", "awaiting"].map((use) => figure(at, "isha_slots", `use="${use}"`)),
  );
  return held.every((slots) => slots === 0) && (await figure(at, "isha_queued")) === 0;
}

/** Percentiles as the histogram's buckets tell them: at most so many milliseconds. */
async function abortToFree(): Promise<Record<string, string>> {
  const buckets = await figures(addressOf(stack), "isha_abort_to_free_seconds_bucket");
  const byBound = new Map<number, number>();
  for (const [labels, count] of buckets) {
    const bound = Number((/le="([^"]+)"/.exec(labels)?.[1] ?? "").replace("+Inf", "Infinity"));
    byBound.set(bound, (byBound.get(bound) ?? 0) + count);
  }
  const total = byBound.get(Infinity) ?? 0;
  const bounds = [...byBound].sort(([one], [other]) => one - other);
  const within = (share: number): string =>
    `≤ ${(bounds.find(([, count]) => count >= total * share)?.[0] ?? Infinity) * 1000} ms`;
  return { proofs: String(total), p50: within(0.5), p99: within(0.99), max: within(1) };
}

test("140 that leave the agent: while they wait, in their prompt, in mid-stream, unstreamed", async () => {
  await until(
    async () => (await figure(addressOf(stack), "isha_slots", 'use="free"')) === 10,
    "ten free slots",
  );
  const random = new SeededRandom(SEED);
  const left: Record<string, number> = {};
  const clients = Array.from({ length: 140 }, async (_, number) => {
    const stream = random.chance(0.7);
    // Half of the streams are left some time after their first word, all others some time after they were asked for.
    const afterWord = stream && random.chance(0.5);
    const afterMs = 20 + random.below(afterWord ? 600 : 2_500);
    const leaving = new AbortController();
    let spoke = false;
    const call = callFor(PORTS[number % PORTS.length] ?? 0, {
      stream,
      keyId: `key-${number % 20}`,
      set: { n_predict: 200 },
    });
    if (!afterWord) setTimeout(() => leaving.abort(), afterMs);
    const told = await callAgent(addressOf(stack), call, {
      body,
      signal: leaving.signal,
      onPiece: (piece) => {
        if (spoke || !piece.includes('"content"')) return;
        spoke = true;
        if (afterWord) setTimeout(() => leaving.abort(), afterMs);
      },
    });
    const how =
      told.ended !== "left"
        ? "answered or refused"
        : !stream
          ? "unstreamed"
          : spoke
            ? "mid-stream"
            : "before a word";
    left[how] = (left[how] ?? 0) + 1;
  });
  await Promise.all(clients);
  const since = performance.now();
  await until(allIdle, "every slot is idle, every place free");
  print(`140 left the agent, seed ${SEED}`, {
    ...left,
    idleAfterTheLastMs: Math.round(performance.now() - since),
    abortToFree: await abortToFree(),
  });
  expect(left["mid-stream"]).toBeGreaterThan(20);
  expect(left["before a word"]).toBeGreaterThan(10);
  expect(left["unstreamed"]).toBeGreaterThan(10);
});

/** Asks through the edge for one of the agent types and leaves after so long; tells how far it had come. */
async function leaveThroughEdge(
  number: number,
  asked: { readonly stream: boolean; readonly max_tokens: number; readonly messages?: object[] },
  afterMs: number,
): Promise<string> {
  const leaving = new AbortController();
  const type = AGENT_TYPES[number % AGENT_TYPES.length];
  setTimeout(() => leaving.abort(), afterMs);
  let how = "before its headers";
  try {
    const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
      body: JSON.stringify({ ...body, ...asked, ...(type === "Default" ? {} : { model: type }) }),
      signal: leaving.signal,
    });
    how = response.ok ? "mid-stream" : `refused ${response.status}`;
    await response.text();
    how = response.ok ? "answered" : how;
  } catch {
    // It left.
  }
  return how;
}

test("60 that leave through the edge: their streams' slots are idle too", async () => {
  const random = new SeededRandom(SEED + 1);
  const left: Record<string, number> = {};
  const clients = Array.from({ length: 60 }, async (_, number) => {
    const asked = { stream: true, max_tokens: 200 };
    const how = await leaveThroughEdge(number, asked, 50 + random.below(2_500));
    left[how] = (left[how] ?? 0) + 1;
  });
  await Promise.all(clients);
  const since = performance.now();
  await until(allIdle, "every slot is idle, every place free");
  print(`60 left through the edge, seed ${SEED + 1}`, {
    ...left,
    idleAfterTheLastMs: Math.round(performance.now() - since),
    abortToFree: await abortToFree(),
  });
  expect(left["mid-stream"]).toBeGreaterThan(0);
  const answer = await ask(stack, { ...body, ignore_eos: false, max_tokens: 5 });
  expect(answer.status).toBe(200);
});

/** Of calls that aren't streamed: what each may cost once it has a slot. */
const CAP = 60;
const PROMPT_TOKENS = 200;
const PER_CALL_MS = 1_000 * (CAP / TOKENS_PER_SECOND + PROMPT_TOKENS / PROMPT_TOKENS_PER_SECOND);

/**
 * The edge writes nothing before the whole answer, so it can't notice; nor can the agent. What is promised is an
 * upper bound: none of them costs more than its cap, and none is there after its deadline.
 */
test("40 unstreamed that leave through the edge: each costs at most its cap, then its slot is idle", async () => {
  const random = new SeededRandom(SEED + 2);
  const left: Record<string, number> = {};
  const leftAt = new Map<string, number>();
  const nameOf = (number: number): string => `unstreamed-${number}-`;
  const ended = watchEnds(nameOf(0).slice(0, 10));
  const clients = Array.from({ length: 40 }, async (_, number) => {
    const messages = [{ role: "user", content: `${nameOf(number)} ${LONG}` }];
    const asked = { stream: false, max_tokens: CAP, messages };
    const how = await leaveThroughEdge(number, asked, 50 + random.below(2_500));
    left[how] = (left[how] ?? 0) + 1;
    if (how !== "answered") leftAt.set(nameOf(number), performance.now());
  });
  await Promise.all(clients);
  const since = performance.now();
  // Eight for each server's two slots, one after another; five times that, for a machine that is busy.
  await until(allIdle, "every slot is idle, every place free");
  const idleAfterTheLastMs = Math.round(performance.now() - since);
  const ends = await ended();
  const afterLeaving = [...leftAt].flatMap(([name, at]) => {
    const end = ends.find(({ receivedBody }) => receivedBody.includes(name));
    return end === undefined ? [] : [Math.max(0, Math.round(end.seenAt - at))];
  });
  print(`40 unstreamed left through the edge, seed ${SEED + 2}`, {
    ...left,
    reachedAServer: ends.length,
    ranToTheirCap: ends.filter(({ outcome }) => outcome === "complete").length,
    idleAfterTheLastMs,
    leavingToIdleMs: percentiles(afterLeaving),
    inASlotMs: percentiles(ends.map(({ tookMs }) => tookMs)),
    capMs: PER_CALL_MS,
  });
  expect(left["before its headers"]).toBeGreaterThan(20);
  expect(afterLeaving.length).toBeGreaterThan(20);
  expect(Math.max(...ends.map(({ generatedTokens }) => generatedTokens))).toBeLessThanOrEqual(CAP);
});

test("unstreamed calls that nobody knows to be left end at their deadline, and their slots are idle", async () => {
  const deadlineMs = 1_500;
  const since = performance.now();
  const calls = PORTS.flatMap((port) => [port, port]).map(async (port, number) => {
    // Fifteen seconds of text, were it not for the deadline.
    const call = callFor(port, {
      stream: false,
      deadlineMs,
      keyId: `key-${number}`,
      set: { n_predict: 900 },
    });
    return codeOf(await callAgent(addressOf(stack), call, { body }));
  });
  expect(new Set(await Promise.all(calls))).toEqual(new Set(["deadline_exceeded"]));
  const toldMs = Math.round(performance.now() - since);
  await until(allIdle, "every slot is idle");
  print("10 unstreamed at their deadline", {
    deadlineMs,
    toldMs,
    idleMs: Math.round(performance.now() - since),
  });
});

interface SeenEnd extends Finished {
  /** When it was first seen to be over. */
  readonly seenAt: number;
}

/** Watches the servers for calls of this name that are over; the function it gives back ends the watch. */
function watchEnds(name: string): () => Promise<SeenEnd[]> {
  const seen = new Map<string, SeenEnd>();
  let over = false;
  const look = async (port: number): Promise<void> => {
    for (const end of (await stateOf(stack, port)).finished) {
      if (end.receivedBody.includes(name) && !seen.has(end.id))
        seen.set(end.id, { ...end, seenAt: performance.now() });
    }
  };
  const watching = until(async () => {
    const last = over;
    await Promise.all(PORTS.map(look));
    return last;
  }, "the end of the watch");
  return async () => {
    over = true;
    await watching;
    return [...seen.values()];
  };
}

function percentiles(values: readonly number[]): Record<string, number | undefined> {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number): number | undefined => sorted[Math.ceil(sorted.length * share) - 1];
  return { calls: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}
