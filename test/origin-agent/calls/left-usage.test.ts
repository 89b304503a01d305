// Checks what a call is booked for if its client leaves early: what the GPU did for it, as `/slots` shows it.
import { describe, expect, it } from "vitest";
import type { Finished } from "../../sim/llama/ledger.ts";
import { until } from "../../support/until.ts";
import { ask } from "../support/ask.ts";
import { testBox, WANTED } from "../support/box.ts";
import { oneServer } from "./support/servers.ts";

const { simulator, agent } = await oneServer();

const SLOWLY = { tokensPerSecond: 200, promptTokensPerSecond: 0 };
const ENDLESS = { ignore_eos: true, max_tokens: 1_000 };

/** Books the call's end. @returns it with what the server did for it. */
async function bookedAndDone(requestId: string): Promise<{ booked: object; done: Finished | undefined }> {
  const endOf = (): object | null | undefined =>
    agent.booked.find(({ start }) => start.callId === requestId)?.end;
  await until(() => endOf() != null);
  const { finished } = await simulator.until((state) => state.generating === 0 && state.finished.length > 0);
  return { booked: endOf() ?? {}, done: finished.at(-1) };
}

describe("a call that its client leaves", () => {
  it.each([false, true])(
    "is booked with the tokens of its prompt and its answer (stream: %s)",
    async (stream) => {
      await simulator.set({ ...SLOWLY, stallAfterTokens: 150 });
      const requestId = `left-${stream}`;
      const asked = ask(agent.port, { call: { requestId, stream }, body: ENDLESS });
      await until(() => agent.live.dispatch.decoding(WANTED) === 150);
      asked.leave();
      const { booked, done } = await bookedAndDone(requestId);
      expect(booked).toMatchObject({
        outcome: "aborted",
        completionTokens: done?.generatedTokens,
        promptTokens: done?.promptTokens,
        estimated: true,
      });
    },
  );

  it("before its server has shown it is booked with no more prompt tokens than a slot holds", async () => {
    await simulator.set({ holdPickUp: true });
    const requestId = "left-large";
    const content = "a large body ".repeat(20_000);
    const asked = ask(agent.port, { call: { requestId }, body: { messages: [{ role: "user", content }] } });
    await simulator.until(({ received }) => received.some(({ path }) => path === "/v1/chat/completions"));
    asked.leave();
    await until(() => agent.booked.some(({ start, end }) => start.callId === requestId && end !== null));
    const end = agent.booked.find(({ start }) => start.callId === requestId)?.end;
    expect(end?.promptTokens).toBe(testBox().servers[0]?.contextPerSlot);
  });
});
