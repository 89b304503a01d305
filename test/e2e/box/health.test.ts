// Health that can't be fooled: a server that hangs although its `/health` says ok, one whose `/health` hangs, one
// that has become slow. Each is noticed, and calls go to a server that can serve them.
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { until } from "../../support/until.ts";
import { switchServer, type Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, figure, print, readStream } from "../support/agent-call.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    edge: false,
    // At full speed, so that slowness can't come from a machine that is busy.
    simulator: { tokensPerSecond: 0, promptTokensPerSecond: 0 },
    perServer: { 8085: { tokensPerSecond: 200, switches: { stallAfterTokens: 20 } } },
  });
  await Promise.all([8080, 8081, 8082, 8084, 8085].map((port) => untilIn(port, "ready")));
});
afterAll(() => stack?.stop());

const body = { messages: [{ role: "user", content: "Patient complaint: cough" }], ignore_eos: true };

const isIn = async (port: number, state: string): Promise<boolean> =>
  (await figure(addressOf(stack), "isha_server_state", `port="${port}"`, `state="${state}"`)) === 1;

const untilIn = (port: number, state: string): Promise<boolean> =>
  until(() => isIn(port, state), `${port} is ${state}`);

async function servedBy(ports: number[], fallbackPorts: number[] = []): Promise<string> {
  const call = callFor(ports[0] ?? 0, { ports, fallbackPorts, set: { n_predict: 20 } });
  const answer = await callAgent(addressOf(stack), call, { body });
  expect(readStream(answer.text).dones).toBe(1);
  return String(answer.headers["x-isha-port"]);
}

test.concurrent("a server that decodes nothing, though its /health says ok, is stalled, routed around and used again", async () => {
  const call = callFor(8085, { set: { n_predict: 400 }, deadlineMs: 300_000 });
  let words = 0;
  const running = callAgent(addressOf(stack), call, { body, onPiece: () => void (words += 1) });
  // It stands still in the middle of its answer until the whole server does.
  await until(() => words > 5, "it has begun to answer");
  await switchServer(stack, 8085, { stall: true, stallAfterTokens: null });
  await untilIn(8085, "stalled");
  expect(
    (await fetch(`${stack.boxes[0]?.servers.find(({ port }) => port === 8085)?.url}/health`)).status,
  ).toBe(200);
  expect(await servedBy([8085], [8081])).toBe("8081");
  await switchServer(stack, 8085, { stall: false });
  await untilIn(8085, "ready");
  // What it had begun is finished, not lost.
  const stream = readStream((await running).text);
  expect({ dones: stream.dones, errors: stream.errors }).toEqual({ dones: 1, errors: [] });
  expect(await servedBy([8085], [8081])).toBe("8085");
});

test.concurrent("a server whose /health gets no answer is down, routed around and used again", async () => {
  await switchServer(stack, 8084, { hangHealth: true });
  await untilIn(8084, "down");
  expect(await servedBy([8084], [8081])).toBe("8081");
  await switchServer(stack, 8084, { hangHealth: false });
  await untilIn(8084, "ready");
  expect(await servedBy([8084], [8081])).toBe("8084");
});

test.concurrent("a server that has become far slower is noticed by its speed, and its replica preferred", async () => {
  for (let call = 0; call < 12; call++) await servedBy([8082]);
  expect(await servedBy([8082, 8080])).toMatch(/^808[02]$/);
  // Prompts too, so that its own one-token calls don't say that it is well again.
  await switchServer(stack, 8082, { tokensPerSecond: 40, promptTokensPerSecond: 40 });
  let calls = 0;
  for (; !(await isIn(8082, "slow")); calls += 1) await servedBy([8082]);
  for (let call = 0; call < 4; call++) expect(await servedBy([8082, 8080])).toBe("8080");
  // If no other server can answer, a slow answer is better than none.
  expect(await servedBy([8082])).toBe("8082");
  print("a slow server", { calls });
});
