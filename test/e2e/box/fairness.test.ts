// One key's flood is that key's own trouble: another key's call waits for what runs, not for what waits.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { until } from "../../support/until.ts";
import { stateOf, switchServer, type Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, codeOf, figure, print, readStream } from "../support/agent-call.ts";

const PORT = 8085;
const SLOTS = 2;
const FLOOD = 200;

let stack: Stack;
beforeAll(async () => {
  // So slow that no call of the flood ends before the test lets it.
  const held = { tokensPerSecond: 1, promptTokensPerSecond: 0 };
  stack = await startStack({ edge: false, simulator: held });
});
afterAll(() => stack?.stop());

const GREEDY = "from the greedy key";
const PATIENT = "from the patient key";
const bodyOf = (words: string): object => ({
  messages: [{ role: "user", content: words }],
  ignore_eos: true,
});

/** Whose calls the server began, in that order. */
async function begun(): Promise<string[]> {
  const { finished } = await stateOf(stack, PORT);
  return finished
    .toSorted((one, other) => one.task - other.task)
    .flatMap(({ receivedBody }) => [GREEDY, PATIENT].filter((words) => receivedBody.includes(words)));
}

test(`${FLOOD} calls of one key at once: another key's call is among the next that begin, one for each slot`, async () => {
  const at = addressOf(stack);
  const slots = (use: string): Promise<number> => figure(at, "isha_slots", `port="${PORT}"`, `use="${use}"`);
  await until(async () => (await slots("free")) === SLOTS, "its slots");
  let served = 0;
  let refused = 0;
  const refusals: Record<string, number> = {};
  const flood = Array.from({ length: FLOOD }, async () => {
    const call = callFor(PORT, { keyId: "greedy", set: { n_predict: 300 }, deadlineMs: 300_000 });
    const answer = await callAgent(at, call, { body: bodyOf(GREEDY) });
    if (answer.status === 200) served += readStream(answer.text).dones;
    else {
      const code = codeOf(answer) ?? "none";
      refusals[code] = (refusals[code] ?? 0) + 1;
      refused += 1;
    }
  });
  const waiting = await until(async () => {
    const queued = await figure(at, "isha_queued");
    return (await slots("leased")) === SLOTS && refused + queued + SLOTS === FLOOD && queued;
  }, "every call of the flood runs, waits or is refused");
  const patient = callAgent(at, callFor(PORT, { keyId: "patient", set: { n_predict: 5 } }), {
    body: bodyOf(PATIENT),
  });
  await until(async () => (await figure(at, "isha_queued")) === waiting + 1, "the other key's call waits");
  // A call takes far longer than its way to the server, so that the order there is the order of the turns.
  await switchServer(stack, PORT, { tokensPerSecond: 1500 });
  expect(readStream((await patient).text).dones).toBe(1);
  await Promise.all(flood);

  const order = await until(async () => {
    const found = await begun();
    return found.length === served + 1 && found;
  }, "the server has ended every call");
  const before = order.indexOf(PATIENT) - SLOTS;
  print("fairness", { served, refusals, begunBeforeTheOther: before });
  expect(before).toBeLessThan(SLOTS);
  expect(served).toBe(waiting + SLOTS);
  expect(served).toBeGreaterThan(10);
  expect(Object.keys(refusals)).toEqual(["overloaded"]);
});
