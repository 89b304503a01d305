// The answer when a server is down: a replica, another model with its label, or a refusal that states the reason.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { LOAD_WAIT_MS } from "../../../shared/limits.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import {
  ask,
  CHEST_PAIN,
  errorOf,
  events,
  fetchEdge,
  json,
  serversReady,
  serverStates,
  startReady,
  switchServer,
  type Answer,
  type Stack,
} from "../support/ask.ts";
import { until } from "../../support/until.ts";

let stack: Stack;
const down = new Set<number>();
beforeAll(async () => {
  stack = await startReady({ simulator: { tokensPerSecond: 2000, promptTokensPerSecond: 100_000 } });
});
afterAll(async () => {
  await stack?.stop();
});

/** Brings back what a test has killed, so that the next one finds every server in use. */
async function bringBack(): Promise<void> {
  for (const port of down) await stack.startServer(port);
  down.clear();
  await serversReady(stack);
}

async function kill(...ports: number[]): Promise<void> {
  for (const port of ports) {
    await stack.killServer(port);
    down.add(port);
  }
}

async function reported(port: number, state: string): Promise<void> {
  const url = stack.boxes[0]?.agentUrl ?? "";
  await until(async () => (await serverStates(url)).get(port) === state, `${port} is reported ${state}`);
}

interface Labelled {
  readonly model: string;
  readonly isha: { readonly port: number; readonly fallback_from: number | null };
}

describe("a server that refuses connections", () => {
  afterEach(bringBack);

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

  test("is replaced by the next one if the first fallback is down too", async () => {
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

  test("serves again once it is back", async () => {
    await kill(8084);
    const claims = (): Promise<Answer> =>
      ask(stack, { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN });
    expect((await claims()).headers.get("x-isha-port")).toBe("8081");
    await stack.startServer(8084);
    down.clear();
    const answer = await until(async () => {
      const again = await claims();
      return again.headers.get("x-isha-port") === "8084" ? again : null;
    }, "8084 is in use again");
    expect(answer.headers.has("x-isha-fallback-from")).toBe(false);
  });

  test("shows in /healthz and /v1/models", async () => {
    await kill(8085);
    const health = async (query: string): Promise<{ status: number; body: unknown }> => {
      const response = await fetch(`${stack.edgeUrl}/healthz${query}`);
      return { status: response.status, body: await response.json() };
    };
    await until(async () => {
      expect(await health("?require=Clinical")).toMatchObject({
        status: 503,
        body: {
          status: "degraded",
          models: { "BiMediX2-8B": "down", "MedPalm2-8B": "ready" },
          missing: ["Clinical"],
        },
      });
      expect(await health("?require=Claims")).toMatchObject({ status: 200 });
      return true;
    }, "the edge reports it down, and nothing else");
    const model = await fetchEdge(`${stack.edgeUrl}/v1/models/Clinical`, {
      headers: { authorization: "Bearer dev-key" },
    });
    expect(await model.json()).toMatchObject({ isha: { state: "down" } });
  });
});

describe("a server that is loading", () => {
  afterEach(async () => {
    for (const port of [8082, 8084]) await switchServer(stack, port, { loading: false });
    await serversReady(stack);
  });

  test("is waited for and answers itself; a ready replica of it answers at once", async () => {
    for (const port of [8082, 8084]) await switchServer(stack, port, { loading: true });
    for (const port of [8082, 8084]) await reported(port, "loading");
    const claims = { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN };
    let isAnswered = false;
    const whole = ask(stack, claims).finally(() => (isAnswered = true));
    const streamed = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
      body: JSON.stringify({ ...claims, stream: true }),
    });
    // Its headers have come without a server to answer it: it waits at the box.
    expect(streamed.headers.has("x-isha-port")).toBe(false);
    const scribe = await ask(stack, { agent_type: "Scribe", max_tokens: 3, messages: CHEST_PAIN });
    expect(scribe.headers.get("x-isha-port")).toBe("8080");
    // A call that was sent before still waits, for as long as a server that loads is waited for.
    expect(isAnswered).toBe(false);
    await switchServer(stack, 8084, { loading: false });
    const { headers } = await whole;
    expect(headers.get("x-isha-port")).toBe("8084");
    expect(headers.has("x-isha-fallback-from")).toBe(false);
    expect(await streamed.text()).toContain('"port":8084');
  });
});

// Each waits for what takes its time, so they wait together.
describe.concurrent("with a time of its own", () => {
  test("a server that loads for longer than loadWait is replaced, and the answer says so", async () => {
    await switchServer(stack, 8084, { loading: true });
    try {
      await reported(8084, "loading");
      const [answer, refused] = await Promise.all([
        ask(stack, { agent_type: "Claims", max_tokens: 3, messages: CHEST_PAIN }),
        ask(stack, { agent_type: "Claims", fallback: false, messages: CHEST_PAIN }),
      ]);
      expect(answer.headers.get("x-isha-port")).toBe("8081");
      expect(answer.headers.get("x-isha-fallback-from")).toBe("8084");
      expect(Number(answer.headers.get("x-isha-queue-ms"))).toBeGreaterThanOrEqual(LOAD_WAIT_MS);
      expect(refused.status).toBe(503);
      expect(errorOf(refused).code).toBe("model_loading");
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    } finally {
      await switchServer(stack, 8084, { loading: false });
    }
  });

  test("a box that is gone is reported as such, with a time to ask again", async () => {
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

  test("servers with another key than the agent's are named in the log, shown as down, and keep no call waiting", async () => {
    const locked = await startStack({ agentEnv: { LLAMA_API_KEY: "not-what-they-were-started-with" } });
    try {
      await until(
        () => locked.logs("agent box1").join("\n").includes("it refuses our API key"),
        "the log names the cause",
      );
      const url = locked.boxes[0]?.agentUrl ?? "";
      await until(async () => (await serverStates(url)).get(8085) === "down", "8085 is reported down");
      const answer = await ask(locked, { agent_type: "Clinical", messages: CHEST_PAIN });
      expect([answer.status, errorOf(answer).code]).toEqual([503, "model_unavailable"]);
      // The edge uses a fleet snapshot for up to two seconds.
      await until(async () => {
        const health = await fetch(`${locked.edgeUrl}/healthz`);
        expect(await health.json()).toMatchObject({ status: "down", models: { "BiMediX2-8B": "down" } });
        return true;
      }, "the edge reports them down");
    } finally {
      await locked.stop();
    }
  });
});
