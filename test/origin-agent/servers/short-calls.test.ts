// Checks calls of embeddings: they are counted like all others, so that none waits inside llama-server, whether their
// server also generates text or not.
import { describe, expect, it } from "vitest";
import { DIALECTS } from "../../../shared/dialects.ts";
import type { Capability } from "../../../shared/fleet.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { startLlamaServer } from "../../sim/start.ts";
import { until } from "../../support/until.ts";
import { answered, type Answer } from "../support/ask.ts";
import { LLAMA_API_KEY, queuedCalls, startAgent, testBox, WANTED } from "../support/box.ts";

const SERVERS: readonly (readonly Capability[])[] = [["embeddings"], ["chat", "embeddings"]];

describe.each(SERVERS)("on a server with %j", (...capabilities) => {
  it.each(SEEDS.slice(0, 3))("all are answered, and none waits inside it (seed %i)", async (seed) => {
    const random = new SeededRandom(seed);
    const wanted = await startLlamaServer({
      alias: "Heron-3B.gguf",
      parallel: testBox().servers[0]?.slots ?? 2,
      context: 4096,
      apiKey: LLAMA_API_KEY,
      flags: ["--no-cache-prompt", "--cache-ram", "0", "--embeddings", "--pooling", "mean"],
      switches: { tokensPerSecond: 0, promptTokensPerSecond: 0 },
    });
    const agent = await startAgent({ [WANTED]: wanted.port }, { capabilities });
    try {
      await until(() => agent.live.servers.get(WANTED)?.usable === true);
      let deferred = 0;
      const calling = new AbortController();
      const watching = (async () => {
        while (!calling.signal.aborted) deferred = Math.max(deferred, (await wanted.state()).deferred);
      })();
      const send = (at: number): Promise<Answer> => {
        const isChat = capabilities.includes("chat") && random.chance(0.4);
        const dialect = isChat ? "chat" : "embeddings";
        const place = { wantedPort: WANTED, ports: [WANTED], fallbackPorts: [] };
        return answered(agent.port, {
          path: DIALECTS[dialect].path,
          call: { ...place, dialect, continuable: false, keyId: `key-${at}` },
          body: isChat ? { max_tokens: 3 } : { input: `Topic${at}x` },
        });
      };
      const answers = await Promise.all(Array.from({ length: 24 }, (_, at) => send(at)));
      calling.abort();
      await watching;
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect(deferred).toBe(0);
      await until(() => agent.live.servers.get(WANTED)?.slots.free === 2 && queuedCalls(agent) === 0);
      await agent.allBooked();
      const embedded = agent.booked.filter(({ end }) => end?.completionTokens === 0);
      expect(embedded.length).toBeGreaterThan(5);
      for (const { end } of embedded) expect(end).toMatchObject({ outcome: "complete", estimated: false });
    } finally {
      await agent.close();
      await wanted.stop();
    }
  });
});
