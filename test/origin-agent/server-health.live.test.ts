// Health of a real process: the simulated llama-server with its faults, probed as the schedule says. The clock
// of some tests runs faster than the wall's, so that fifteen seconds of silence take three.
import { afterEach, expect, it } from "vitest";
import { request } from "undici";
import type { OneTokenOutcome } from "../../origin-agent/health-record.ts";
import { newServerHealth, type HealthAnswer, type HealthEvent } from "../../origin-agent/health-record.ts";
import { nextProbeAt, ONE_TOKEN_TIMEOUT_MS } from "../../origin-agent/health-schedule.ts";
import { readSlots } from "../../origin-agent/probes/slots.ts";
import { isUsable, step } from "../../origin-agent/server-health.ts";
import { PROBE_TIMEOUT_MS } from "../../shared/limits.ts";
import { startLlamaServer, type SimulatedServer, type StartOptions } from "../sim/start.ts";
import { wantsOneToken } from "./health-timeline.ts";
import { until } from "../support/until.ts";

const KEY = "a-key-of-the-box";
const PACES: StartOptions = { parallel: 2, apiKey: KEY, tokensPerSecond: 200, promptTokensPerSecond: 0 };

/** Watches one port, as the agent will. */
class Watch {
  record;
  readonly course: { readonly word: string; readonly at: number }[] = [];
  readonly #origin: string;
  readonly #speed: number;
  #stopped = false;
  #oneTokenRuns = false;

  /** @param speed how much faster than the wall's the clock of this watch runs. */
  constructor(origin: string, speed = 1) {
    this.#origin = origin;
    this.#speed = speed;
    this.record = newServerHealth(null, this.now);
    watches.push(this);
    void this.#run();
  }

  get now(): number {
    return performance.now() * this.#speed;
  }

  hear(event: HealthEvent): void {
    const { record, changes } = step(this.record, event, this.now);
    this.record = record;
    for (const change of changes) {
      if (change.kind === "state")
        this.course.push({ word: `${change.to} ${change.cause.tag}`, at: performance.now() });
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async become(state: string): Promise<number> {
    return until(
      () => (this.record.state === state ? performance.now() : null),
      `${state}; it was ${JSON.stringify(this.course)}`,
    );
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const due = nextProbeAt(this.record, this.now);
      if (this.now >= due.health) this.hear({ kind: "health", answer: await askHealth(this.#origin) });
      if (due.slots !== null && this.now >= due.slots) {
        this.hear({ kind: "slots", slots: await readSlots(this.#origin, KEY) });
      }
      if (wantsOneToken(this.record, this.now) && !this.#oneTokenRuns) void this.#askOneToken();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async #askOneToken(): Promise<void> {
    this.#oneTokenRuns = true;
    this.hear({ kind: "one-token-sent" });
    const outcome = await askOneToken(this.#origin, ONE_TOKEN_TIMEOUT_MS / this.#speed);
    this.hear({ kind: "one-token", outcome });
    this.#oneTokenRuns = false;
  }
}

async function askHealth(origin: string): Promise<HealthAnswer> {
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    const { statusCode, body } = await request(`${origin}/health`, { signal, reset: true });
    await body.dump();
    if (statusCode === 200) return "ok";
    return statusCode === 503 ? "loading" : "other";
  } catch (error) {
    if (error instanceof Error && error.name === "TimeoutError") return "timeout";
    return error instanceof Error && "code" in error && error.code === "ECONNREFUSED" ? "refused" : "other";
  }
}

async function complete(origin: string, tokens: number, signal?: AbortSignal): Promise<Response> {
  return fetch(`${origin}/v1/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Hello", max_tokens: tokens, ignore_eos: true }),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function askOneToken(origin: string, timeoutMs: number): Promise<OneTokenOutcome> {
  const from = performance.now();
  try {
    const response = await complete(origin, 1, AbortSignal.timeout(timeoutMs));
    await response.text();
    if (response.ok) return { end: "answered", ms: performance.now() - from };
    return { end: response.status === 503 ? "loading" : "error" };
  } catch (error) {
    return { end: error instanceof Error && error.name === "TimeoutError" ? "timeout" : "broken" };
  }
}

const watches: Watch[] = [];
const servers: SimulatedServer[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.stop();
  await Promise.all(servers.splice(0).map(async (server) => server.stop()));
});

async function start(options: StartOptions = {}): Promise<SimulatedServer> {
  const server = await startLlamaServer({ ...PACES, ...options });
  servers.push(server);
  return server;
}

const words = (watch: Watch): string[] => watch.course.map(({ word }) => word);

it("a process that dies is out of use within the steady pace, and in use within a second of its having loaded", async () => {
  const loadMs = 400;
  const server = await start();
  const watch = new Watch(server.url);
  await watch.become("ready");
  const died = performance.now();
  await server.die();
  expect((await watch.become("down")) - died).toBeLessThan(1_500);
  const startedAgain = await start({ port: server.port, loadMs });
  await until(async () => !(await startedAgain.state()).loading, "the new process to have loaded");
  const loaded = performance.now();
  expect((await watch.become("ready")) - loaded).toBeLessThan(1_000);
  expect(words(watch)).toEqual(["ready well", "down refused", "loading loading", "ready well"]);
});

it("a server that hangs under a call while /health says 200 is stalled, stays so, and comes back with its tokens", async () => {
  const server = await start();
  const watch = new Watch(server.url, 5);
  await watch.become("ready");
  const leave = new AbortController();
  const call = complete(server.url, 4_000, leave.signal).catch(() => undefined);
  await until(
    async () => ((await readSlots(server.url, KEY)) ?? []).some(({ decoded }) => (decoded ?? 0) > 0),
    "a token of the call",
  );
  await server.set({ stall: true });
  const from = performance.now();
  const seen = ((await watch.become("stalled")) - from) * 5;
  expect(seen).toBeGreaterThan(14_000);
  expect(seen).toBeLessThan(20_000);
  expect(await askHealth(server.url)).toBe("ok");
  await until(() => watch.record.oneToken.failures > 0, "a one-token call to fail too");
  expect(isUsable(watch.record)).toBe(false);
  await server.set({ stall: false });
  await watch.become("ready");
  expect(words(watch)).toEqual(["ready well", "stalled no-decode", "ready well"]);
  leave.abort();
  await call;
});

it("a server that hangs from the start is stalled before anybody's call meets it", async () => {
  const server = await start({ switches: { stall: true } });
  const watch = new Watch(server.url, 5);
  await watch.become("stalled");
  expect(words(watch)).toEqual(["ready well", "stalled one-token-unanswered"]);
  await server.set({ stall: false });
  await watch.become("ready");
});

it("a server whose /health gives no answer is down, and ready with the first one", async () => {
  const server = await start();
  const watch = new Watch(server.url);
  await watch.become("ready");
  await server.set({ hangHealth: true });
  await watch.become("down");
  await server.set({ hangHealth: false });
  await watch.become("ready");
  expect(words(watch)).toEqual(["ready well", "down no-answer", "ready well"]);
});

it("a server twenty times slower than it used to be is slow, and ready once it is as before", async () => {
  const server = await start({ tokensPerSecond: 400 });
  const watch = new Watch(server.url);
  await watch.become("ready");
  const call = async (): Promise<void> => {
    const response = await complete(server.url, 16);
    const { timings } = (await response.json()) as { timings: { predicted_n: number; predicted_ms: number } };
    watch.hear({
      kind: "call",
      fate: "answered",
      decodedTokens: timings.predicted_n,
      decodeMs: timings.predicted_ms,
      promptTokens: null,
      promptMs: null,
    });
  };
  for (let calls = 0; calls < 10; calls += 1) await call();
  expect(watch.record.state).toBe("ready");
  await server.set({ slowFactor: 20 });
  for (let calls = 0; calls < 8 && watch.record.state === "ready"; calls += 1) await call();
  expect(watch.record.cause.tag).toBe("slow-decode");
  await server.set({ slowFactor: 1 });
  for (let calls = 0; calls < 8 && watch.record.state === "slow"; calls += 1) await call();
  expect(watch.record.state).toBe("ready");
});
