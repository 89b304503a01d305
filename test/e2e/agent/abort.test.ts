// Clients that leave, at any moment: every slot they had is proved idle, and nothing of them stays.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
import { SeededRandom } from "../../shared/seeded-random.ts";
import { ask, stateOf, type Stack } from "../ask.ts";
import { addressOf, callAgent, callFor, figure, figures, print, until } from "./agent-call.ts";

const SEED = 4;
/** Five times what is promised: 200 ms of the agent's knowing, 1.5 s through the edge. */
const AT_THE_AGENT_MS = 1_000;
const THROUGH_THE_EDGE_MS = 7_500;

const PORTS = [8080, 8081, 8082, 8084, 8085];
const AGENT_TYPES = ["Default", "Chat", "Scribe", "Claims", "Clinical"];

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: { tokensPerSecond: 60, promptTokensPerSecond: 400 } });
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
  await until(allIdle, "every slot is idle, every place free", AT_THE_AGENT_MS);
  print(`140 left the agent, seed ${SEED}`, {
    ...left,
    idleAfterTheLastMs: Math.round(performance.now() - since),
    abortToFree: await abortToFree(),
  });
  expect(left["mid-stream"]).toBeGreaterThan(20);
  expect(left["before a word"]).toBeGreaterThan(10);
  expect(left["unstreamed"]).toBeGreaterThan(10);
});

test("60 that leave through the edge: their streams' slots are idle too", async () => {
  const random = new SeededRandom(SEED + 1);
  const left: Record<string, number> = {};
  const clients = Array.from({ length: 60 }, async (_, number) => {
    const leaving = new AbortController();
    const type = AGENT_TYPES[number % AGENT_TYPES.length];
    setTimeout(() => leaving.abort(), 50 + random.below(2_500));
    let how = "before its headers";
    try {
      const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
        body: JSON.stringify({
          ...body,
          stream: true,
          max_tokens: 200,
          ...(type === "Default" ? {} : { model: type }),
        }),
        signal: leaving.signal,
      });
      how = response.ok ? "mid-stream" : `refused ${response.status}`;
      await response.text();
      how = response.ok ? "answered" : how;
    } catch {
      // It left.
    }
    left[how] = (left[how] ?? 0) + 1;
  });
  await Promise.all(clients);
  const since = performance.now();
  await until(allIdle, "every slot is idle, every place free", THROUGH_THE_EDGE_MS);
  print(`60 left through the edge, seed ${SEED + 1}`, {
    ...left,
    idleAfterTheLastMs: Math.round(performance.now() - since),
    abortToFree: await abortToFree(),
  });
  expect(left["mid-stream"]).toBeGreaterThan(0);
  const answer = await ask(stack, { ...body, ignore_eos: false, max_tokens: 5 });
  expect(answer.status).toBe(200);
});
