// Health that can't be fooled: a server that hangs behind a cheerful `/health`, one whose `/health` hangs, one
// that has become slow. Each is seen, and calls go where they are served.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
import { switchServer, type Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, figure, print, readStream } from "../support/agent-call.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ edge: false, simulator: { tokensPerSecond: 200, promptTokensPerSecond: 0 } });
  for (const port of [8080, 8081, 8082, 8084, 8085])
    await until(() => isIn(port, "ready"), `${port} is ready`);
});
afterAll(() => stack?.stop());

const body = { messages: [{ role: "user", content: "Patient complaint: cough" }], ignore_eos: true };

const isIn = async (port: number, state: string): Promise<boolean> =>
  (await figure(addressOf(stack), "isha_server_state", `port="${port}"`, `state="${state}"`)) === 1;

async function servedBy(ports: number[], fallbackPorts: number[] = []): Promise<string> {
  const call = callFor(ports[0] ?? 0, { ports, fallbackPorts, set: { n_predict: 20 } });
  const told = await callAgent(addressOf(stack), call, { body });
  expect(readStream(told.text).dones).toBe(1);
  return String(told.headers["x-isha-port"]);
}

/** How long it takes until a server is in a state. */
async function timeUntil(port: number, state: string, withinMs = 30_000): Promise<number> {
  const since = performance.now();
  await until(() => isIn(port, state), `${port} is ${state}`);
  return Math.round(performance.now() - since);
}

test.concurrent("a server that decodes nothing, though its /health says ok, is stalled, routed around and used again", async () => {
  const call = callFor(8085, { set: { n_predict: 400 }, deadlineMs: 60_000 });
  let words = 0;
  const running = callAgent(addressOf(stack), call, {
    body,
    onPiece: () => {
      words += 1;
    },
  });
  await until(() => words > 5, "it has begun to answer");
  await switchServer(stack, 8085, { stall: true });
  const stalledMs = await timeUntil(8085, "stalled");
  expect(
    (await fetch(`${stack.boxes[0]?.servers.find(({ port }) => port === 8085)?.url}/health`)).status,
  ).toBe(200);
  expect(await servedBy([8085], [8081])).toBe("8081");
  await switchServer(stack, 8085, { stall: false });
  const backMs = await timeUntil(8085, "ready");
  // What it had begun is finished, not lost.
  const stream = readStream((await running).text);
  expect({ dones: stream.dones, errors: stream.errors }).toEqual({ dones: 1, errors: [] });
  expect(await servedBy([8085], [8081])).toBe("8085");
  print("a stalled server", { stalledMs, backMs });
});

test.concurrent("a server whose /health gets no answer is down, routed around and used again", async () => {
  await switchServer(stack, 8084, { hangHealth: true });
  const downMs = await timeUntil(8084, "down");
  expect(await servedBy([8084], [8081])).toBe("8081");
  await switchServer(stack, 8084, { hangHealth: false });
  const backMs = await timeUntil(8084, "ready");
  expect(await servedBy([8084], [8081])).toBe("8084");
  print("a hanging /health", { downMs, backMs });
});

test.concurrent("a server that has become ten times slower is seen by its speed, and its replica preferred", async () => {
  for (let call = 0; call < 12; call++) await servedBy([8082]);
  expect(await servedBy([8082, 8080])).toMatch(/^808[02]$/);
  await switchServer(stack, 8082, { slowFactor: 10 });
  const since = performance.now();
  let calls = 0;
  while (calls < 12 && !(await isIn(8082, "slow"))) {
    calls += 1;
    await servedBy([8082]);
  }
  const slowMs = Math.round(performance.now() - since);
  expect(await isIn(8082, "slow")).toBe(true);
  for (let call = 0; call < 4; call++) expect(await servedBy([8082, 8080])).toBe("8080");
  // Where nobody else can, a slow answer is better than none.
  expect(await servedBy([8082])).toBe("8082");
  print("a slow server", { slowMs, calls });
});
