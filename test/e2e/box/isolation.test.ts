// No call meets another scope's cache: whose words a slot holds decides whether they may be read again.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { stateOf, type Stack } from "../support/ask.ts";
import { addressOf, callAgent, callFor, figure, print, readStream } from "../support/agent-call.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    edge: false,
    simulator: { tokensPerSecond: 1_000, promptTokensPerSecond: 100_000 },
  });
  await until(
    async () => (await figure(addressOf(stack), "isha_slots", 'port="8085"', 'use="free"')) === 2,
    "its slots are known",
  );
});
afterAll(() => stack?.stop());

/** The same for everybody: what a shared cache would give away. */
const BEGINNING = "You are a careful clinical assistant of this hospital. ".repeat(20);

interface Talker {
  readonly name: string;
  readonly keyId: string;
  readonly scope: string | null;
  readonly asksForCache: boolean;
  readonly messages: { role: string; content: string }[];
  readonly cached: number[];
}

const talker = (name: string, keyId: string, scope: string | null, asksForCache = false): Talker => ({
  name,
  keyId,
  scope,
  asksForCache,
  messages: [{ role: "system", content: BEGINNING }],
  cached: [],
});

async function turn(who: Talker, words: string): Promise<void> {
  who.messages.push({ role: "user", content: words });
  const received = await callAgent(
    addressOf(stack),
    callFor(8085, { keyId: who.keyId, scope: who.scope, set: { n_predict: 24 }, requestId: randomUUID() }),
    {
      body: {
        messages: who.messages,
        stream_options: { include_usage: true },
        ...(who.asksForCache ? { cache_prompt: true, id_slot: 0 } : {}),
      },
    },
  );
  const { text, usage, dones } = readStream(received.text);
  expect(dones).toBe(1);
  who.messages.push({ role: "assistant", content: text });
  who.cached.push(usage?.prompt_tokens_details?.cached_tokens ?? -1);
}

test("across keys and patients nothing is cached, within a conversation its second turn is", async () => {
  const ada = talker("patient a of key 1", "key-1", "scope-of-patient-a", true);
  const ben = talker("patient b of key 1", "key-1", "scope-of-patient-b");
  const cleo = talker("key 2, asks for the cache", "key-2", "scope-of-key-2", true);
  const noScope = talker("no scope, asks for the cache", "key-1", null, true);
  // On one slot after another, each beside and after each other.
  for (const who of [ada, ben, cleo, noScope, ada, cleo, ben, noScope]) await turn(who, "And now?");
  await Promise.all([turn(ada, "One."), turn(cleo, "One.")]);
  await Promise.all([turn(ben, "Two."), turn(noScope, "Two.")]);
  for (const who of [cleo, ada, noScope, ben]) await turn(who, "Beside.");
  const firstTurns = [ada, ben, cleo, noScope].map(({ cached }) => cached[0]);
  expect(firstTurns).toEqual([0, 0, 0, 0]);
  expect(noScope.cached.every((tokens) => tokens === 0)).toBe(true);

  // Two turns of one conversation with no other between them: the slot still holds the first.
  for (const who of [ada, ben, cleo]) {
    await turn(who, "Go on.");
    await turn(who, "And further?");
    expect(who.cached.at(-1)).toBeGreaterThan(0);
  }
  // What the server itself says: whatever it took from a cache was this conversation's own slot before.
  const lastOnSlot = new Map<number, string>();
  const { finished } = await stateOf(stack, 8085);
  const slots = new Set<number>();
  for (const { slot, cachedTokens, receivedBody } of finished) {
    const said = JSON.parse(receivedBody) as { messages?: { role: string; content: string }[] };
    // The agent's own one-token call.
    if (said.messages === undefined) {
      lastOnSlot.set(slot, "the agent");
      expect(cachedTokens).toBe(0);
      continue;
    }
    slots.add(slot);
    const conversation = JSON.stringify(said.messages);
    if (cachedTokens > 0) {
      const before = lastOnSlot.get(slot) ?? "";
      expect(conversation.startsWith(before.slice(0, -1))).toBe(true);
    }
    lastOnSlot.set(slot, conversation);
  }
  expect(slots.size).toBe(2);
  print(
    "isolation, cached tokens by turn",
    Object.fromEntries([ada, ben, cleo, noScope].map(({ name, cached }) => [name, cached])),
  );
});
