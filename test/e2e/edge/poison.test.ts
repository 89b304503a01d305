// A request that kills every server it reaches, through the whole stack, from OpenAI's own SDK, which resends a 502
// twice unless the answer forbids it.
import OpenAI from "openai";
import { expect, onTestFinished, test } from "vitest";
import { setSwitches, FLEET_FILE } from "../support/boxes.ts";
import { startReady, type Stack } from "../support/ask.ts";
import { print } from "../support/agent-call.ts";

const POISON = "zyanide";
const messages: OpenAI.ChatCompletionMessageParam[] = [
  { role: "user", content: `Patient complaint: ${POISON}` },
];

async function startMortal(fleetFile?: string): Promise<Stack> {
  const stack = await startReady({
    ...(fleetFile === undefined ? {} : { fleetFile }),
    simulator: { tokensPerSecond: 0, promptTokensPerSecond: 0 },
  });
  onTestFinished(() => stack.stop());
  for (const { name, servers } of stack.boxes) {
    for (const { port } of servers) await setSwitches(stack, name, port, { dieOnWord: POISON });
  }
  return stack;
}

/** The servers that no longer answer, as `box:port`. */
async function dead({ boxes }: Stack): Promise<string[]> {
  const states = await Promise.all(
    boxes.flatMap(({ name, servers }) =>
      servers.map(async ({ port, controlUrl }): Promise<string | null> =>
        fetch(`${controlUrl ?? ""}/state`).then(
          () => null,
          () => `${name}:${port}`,
        ),
      ),
    ),
  );
  return states.filter((server) => server !== null);
}

/** One call of the SDK with its own retries. @returns the error's status and how often the SDK sent the request */
async function poison(stack: Stack, stream: boolean): Promise<{ status: number | undefined; sent: number }> {
  let sent = 0;
  const client = new OpenAI({
    apiKey: "dev-key",
    baseURL: `${stack.edgeUrl}/v1`,
    fetch: (url, init) => {
      sent += 1;
      return fetch(url, init);
    },
  });
  const error: unknown = await client.chat.completions.create({ model: "Qwen-0.6B", messages, stream }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return { status: error instanceof OpenAI.APIError ? (error.status as number) : undefined, sent };
}

test.each([false, true])(
  "a poison request kills two servers of one box, and neither the SDK's resends nor later ones kill more (stream: %s)",
  async (stream) => {
    const stack = await startMortal();
    expect(await poison(stack, stream)).toEqual({ status: 502, sent: 1 });
    const killed = await dead(stack);
    expect(killed).toHaveLength(2);
    for (let again = 0; again < 3; again += 1) {
      expect(await poison(stack, stream)).toEqual({ status: 502, sent: 1 });
    }
    expect(await dead(stack)).toEqual(killed);
    print("poison, one box", { killed: killed.join(" ") });
  },
);

test("a poison request is not offered to another box", async () => {
  const stack = await startMortal(FLEET_FILE);
  expect(await poison(stack, false)).toEqual({ status: 502, sent: 1 });
  const killed = await dead(stack);
  expect(killed).toHaveLength(2);
  expect(new Set(killed.map((server) => server.split(":")[0])).size).toBe(1);
  print("poison, two boxes", { killed: killed.join(" ") });
});
