// One key's flood is that key's own trouble: another's call waits for what runs, not for what waits.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
import type { Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, codeOf, figure, print, readStream } from "../support/agent-call.ts";
import { until } from "../../support/until.ts";

const SLOTS = 2;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ edge: false, simulator: { tokensPerSecond: 100, promptTokensPerSecond: 0 } });
});
afterAll(() => stack?.stop());

const body = { messages: [{ role: "user", content: "Patient complaint: cough" }], ignore_eos: true };

test("200 calls of one key at once delay another's single call by no more than what runs", async () => {
  const at = addressOf(stack);
  await until(
    async () => (await figure(at, "isha_slots", 'port="8085"', 'use="free"')) === SLOTS,
    "its slots",
  );
  let served = 0;
  const refusals: Record<string, number> = {};
  const flood = Array.from({ length: 200 }, async () => {
    const told = await callAgent(at, callFor(8085, { keyId: "greedy", set: { n_predict: 40 } }), { body });
    if (told.status !== 200) {
      const code = codeOf(told) ?? "none";
      refusals[code] = (refusals[code] ?? 0) + 1;
    } else if (readStream(told.text).dones === 1) served += 1;
  });
  await until(async () => (await figure(at, "isha_queued")) > 10, "the flood waits");
  const before = served;
  let atFirstWord: number | null = null;
  const told = await callAgent(at, callFor(8085, { keyId: "patient", set: { n_predict: 5 } }), {
    body,
    onPiece: (piece) => {
      if (piece.includes('"content"')) atFirstWord ??= served;
    },
  });
  const waitedFor = (atFirstWord ?? Infinity) - before;
  expect(readStream(told.text).dones).toBe(1);
  await Promise.all(flood);
  print("fairness", { served, refusals, endedBeforeTheOthersFirstWord: waitedFor });
  // What ran when it came, and once more that: a look at the clock may fall badly.
  expect(waitedFor).toBeLessThanOrEqual(2 * SLOTS);
  expect(served).toBeGreaterThan(10);
  expect(Object.keys(refusals)).toEqual(["overloaded"]);
});
