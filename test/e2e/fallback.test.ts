// What happens where a server isn't up: a replica, another model with its label, a refusal that says why.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { LOAD_WAIT_MS } from "../../shared/limits.ts";
import { startStack } from "../../scripts/stack.mjs";
import { ask, CHEST_PAIN, errorOf, events, json, type Answer, type Stack } from "./ask.ts";

let stack: Stack;
const down = new Set<number>();
beforeAll(async () => {
  stack = await startStack({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterEach(async () => {
  for (const port of down) await stack.startServer(port);
  down.clear();
});
afterAll(async () => {
  await stack?.stop();
});

async function kill(...ports: number[]): Promise<void> {
  for (const port of ports) {
    await stack.killServer(port);
    down.add(port);
  }
}

interface Labelled {
  readonly model: string;
  readonly isha: { readonly port: number; readonly fallback_from: number | null };
}

describe("a server that refuses connections", () => {
  test("is replaced by a replica of its model, and the answer says so", async () => {
    await kill(8082);
    const answer = await ask(stack, { agent_type: "Scribe", max_tokens: 3, messages: CHEST_PAIN });
    expect(answer.headers.get("x-isha-port")).toBe("8080");
    expect(answer.headers.get("x-isha-fallback-from")).toBe("8082");
    expect(json<Labelled>(answer).isha).toMatchObject({ port: 8080, fallback_from: 8082 });
  });

  test("without a replica is replaced by the model router's first, labelled in header and body", async () => {
    await kill(8085);
    const whole = await ask(stack, { agent_type: "Clinical", max_tokens: 3, messages: CHEST_PAIN });
    expect(whole.headers.get("x-isha-port")).toBe("8081");
    expect(whole.headers.get("x-isha-fallback-from")).toBe("8085");
    expect(json<Labelled>(whole)).toMatchObject({
      model: "Llama-3.1-MedPalm2-imitate-8B-Instruct.Q6_K.gguf",
      isha: { port: 8081, fallback_from: 8085 },
    });
    const streamed = await ask(stack, {
      agent_type: "Clinical",
      max_tokens: 3,
      stream: true,
      messages: CHEST_PAIN,
    });
    expect(streamed.headers.get("x-isha-fallback-from")).toBe("8085");
    expect(events<Labelled>(streamed).at(-2)).toMatchObject({ isha: { port: 8081, fallback_from: 8085 } });
  });

  test("is replaced by the next one where the first fallback is down too", async () => {
    await kill(8085, 8081);
    const answer = await ask(stack, { model_port: 8085, max_tokens: 3, messages: CHEST_PAIN });
    expect(answer.headers.get("x-isha-port")).toBe("8080");
    expect(answer.headers.get("x-isha-fallback-from")).toBe("8085");
  });

  test('is not replaced where the client says "fallback": false', async () => {
    await kill(8085);
    const answer = await ask(stack, { agent_type: "Clinical", fallback: false, messages: CHEST_PAIN });
    expect(answer.status).toBe(503);
    expect(errorOf(answer)).toMatchObject({
      code: "model_unavailable",
      request_id: answer.headers.get("x-request-id"),
    });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(answer.headers.get("retry-after-ms"))).toBeGreaterThan(0);
  });

  test("serves again within a second of being back", async () => {
    await kill(8084);
    const claims = (): Promise<Answer> =>
      ask(stack, { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN });
    expect((await claims()).headers.get("x-isha-port")).toBe("8081");
    await stack.startServer(8084);
    down.clear();
    const since = performance.now();
    // Five times what is promised, for a machine that does much else.
    await expect
      .poll(async () => (await claims()).headers.get("x-isha-port"), { timeout: 5_000 })
      .toBe("8084");
    console.info(`in use again after ${Math.round(performance.now() - since)} ms`);
    expect((await claims()).headers.has("x-isha-fallback-from")).toBe(false);
  });

  test("shows in /healthz and /v1/models", async () => {
    await kill(8085);
    const health = async (query: string): Promise<{ status: number; body: unknown }> => {
      const response = await fetch(`${stack.edgeUrl}/healthz${query}`);
      return { status: response.status, body: await response.json() };
    };
    await expect
      .poll(() => health("?require=Clinical"), { timeout: 10_000 })
      .toMatchObject({
        status: 503,
        body: {
          status: "degraded",
          models: { "BiMediX2-8B": "down", "MedPalm2-8B": "ready" },
          missing: ["Clinical"],
        },
      });
    expect(await health("?require=Claims")).toMatchObject({ status: 200 });
    const model = await fetch(`${stack.edgeUrl}/v1/models/Clinical`, {
      headers: { authorization: "Bearer dev-key" },
    });
    expect(await model.json()).toMatchObject({ isha: { state: "down" } });
  });
});

describe("a server that is loading", () => {
  test("is waited for and answers itself; a ready replica of it answers at once", async () => {
    const loading = await startStack({
      simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 },
      perServer: { 8082: { loadMs: 60_000 }, 8084: { loadMs: 6000 } },
    });
    try {
      const scribe = await ask(loading, { agent_type: "Scribe", max_tokens: 3, messages: CHEST_PAIN });
      expect(scribe.headers.get("x-isha-port")).toBe("8080");
      expect(Number(scribe.headers.get("x-isha-queue-ms"))).toBeLessThan(6000);
      const claims = await ask(loading, { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN });
      expect(claims.headers.get("x-isha-port")).toBe("8084");
      expect(claims.headers.has("x-isha-fallback-from")).toBe(false);
    } finally {
      await loading.stop();
    }
  });

  test("for longer than loadWait is replaced, and the answer says so", async () => {
    const loading = await startStack({
      simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 },
      perServer: { 8084: { loadMs: 120_000 } },
    });
    try {
      const [answer, refused] = await Promise.all([
        ask(loading, { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN }),
        ask(loading, { agent_type: "Claims", fallback: false, messages: CHEST_PAIN }),
      ]);
      expect(answer.headers.get("x-isha-port")).toBe("8081");
      expect(answer.headers.get("x-isha-fallback-from")).toBe("8084");
      expect(Number(answer.headers.get("x-isha-queue-ms"))).toBeGreaterThanOrEqual(LOAD_WAIT_MS);
      expect(refused.status).toBe(503);
      expect(errorOf(refused).code).toBe("model_loading");
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    } finally {
      await loading.stop();
    }
  });
});

describe("a box that is gone", () => {
  test("is told as such, with a time to ask again", async () => {
    const alone = await startStack({
      agents: false,
      simulator: {},
      boxOrigins: { box1: "http://127.0.0.1:9" },
    });
    try {
      const answer = await ask(alone, { agent_type: "Clinical", messages: CHEST_PAIN });
      expect(answer.status).toBe(502);
      expect(errorOf(answer).code).toBe("box_unreachable");
      const health = await fetch(`${alone.edgeUrl}/healthz`);
      expect(health.status).toBe(503);
      expect(await health.json()).toMatchObject({ status: "down", boxes: { box1: "unreachable" } });
      expect((await fetch(`${alone.edgeUrl}/livez`)).status).toBe(200);
    } finally {
      await alone.stop();
    }
  });
});

describe("servers that were started with another key than the agent's", () => {
  test("are told as such in the log, shown as down, and keep nobody waiting", async () => {
    const locked = await startStack({ agentEnv: { LLAMA_API_KEY: "not-what-they-were-started-with" } });
    try {
      await expect
        .poll(() => locked.logs("agent box1").join("\n"), { timeout: 15_000 })
        .toContain("LLAMA_API_KEY isn't what it was started with");
      const answer = await ask(locked, { agent_type: "Clinical", messages: CHEST_PAIN });
      expect([answer.status, errorOf(answer).code]).toEqual([503, "model_unavailable"]);
      const health = await fetch(`${locked.edgeUrl}/healthz`);
      expect(await health.json()).toMatchObject({ status: "down", models: { "BiMediX2-8B": "down" } });
    } finally {
      await locked.stop();
    }
  });
});
