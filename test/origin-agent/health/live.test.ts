// Health of a real process: the simulated llama-server with its faults, probed as the schedule says. The clock is the
// schedule's own: it stands still while a probe is under way and then goes to what is due next, so that the times
// asserted are those of the schedule and never the machine's.
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from "vitest";
import { request } from "undici";
import type { OneTokenOutcome } from "../../../origin-agent/health/record.ts";
import { newServerHealth, type HealthEvent } from "../../../origin-agent/health/record.ts";
import type { HealthAnswer } from "../../../origin-agent/probes/llama.ts";
import { nextProbeAt, ONE_TOKEN_TIMEOUT_MS } from "../../../origin-agent/health/probe-schedule.ts";
import { ProbeConnection } from "../../../origin-agent/probes/probe-connection.ts";
import { readSlots } from "../../../origin-agent/probes/llama.ts";
import { isUsable, step } from "../../../origin-agent/health/state-machine.ts";
import { STALL_MS } from "../../../shared/limits.ts";
import { startLlamaServer, type SimulatedServer, type StartOptions } from "../../sim/start.ts";
import { wantsOneToken } from "../support/health-timeline.ts";
import { until } from "../../support/until.ts";

const KEY = "a-key-of-the-box";
const PACES: StartOptions = { parallel: 2, apiKey: KEY, tokensPerSecond: 200, promptTokensPerSecond: 0 };

/** What a one-token call takes by the watch's clock; no test judges how long it really took. */
const ONE_TOKEN_MS = 50;

/** How long an answer of `/health` is waited for while the server is switched to give none. */
const NO_ANSWER_MS = 100;

interface OneTokenCall {
  readonly deadlineAt: number;
  readonly leave: AbortController;
  readonly outcome: Promise<OneTokenOutcome>;
}

/** Watches one server, as the agent does, one step after another. */
class Watch {
  /** The server's address; a restarted process may have another port. */
  origin: string;
  now = 0;
  record = newServerHealth(null, 0);
  /** States and their causes, in order. */
  readonly changes: string[] = [];
  /** What the server is switched not to answer: only this runs into its time-out. */
  hangs: "health" | "calls" | null = null;
  #oneToken: OneTokenCall | null = null;

  constructor(origin: string) {
    this.origin = origin;
    watches.push(this);
  }

  observe(event: HealthEvent): void {
    const { record, changes } = step(this.record, event, this.now);
    this.record = record;
    for (const change of changes) {
      if (change.kind === "state") this.changes.push(`${change.to} ${change.cause.tag}`);
    }
  }

  /** Moves the clock to what is due next, and does it. */
  async step(): Promise<void> {
    const due = nextProbeAt(this.record, this.now);
    const next = Math.min(due.health, due.slots ?? Infinity, due.oneToken ?? Infinity);
    this.now = Math.max(this.now, Math.min(next, this.#oneToken?.deadlineAt ?? Infinity));
    await this.#endOneToken();
    if (this.now >= due.health) {
      this.observe({ kind: "health", answer: await askHealth(this.origin, this.hangs === "health") });
    }
    const { slots } = nextProbeAt(this.record, this.now);
    if (slots !== null && this.now >= slots) {
      this.observe({
        kind: "slots",
        slots: await until(() => readSlots(new ProbeConnection(this.origin), KEY)),
      });
    }
    if (this.#oneToken === null && wantsOneToken(this.record, this.now)) await this.#askOneToken();
  }

  async become(state: string): Promise<void> {
    await this.until(() => this.record.state === state, `${state}; it was ${this.changes.join(", ")}`);
  }

  async until(check: () => boolean, what: string): Promise<void> {
    await until(async () => {
      if (!check()) await this.step();
      return check();
    }, what);
  }

  stop(): void {
    this.#oneToken?.leave.abort();
  }

  async #askOneToken(): Promise<void> {
    const leave = new AbortController();
    const deadlineAt = this.now + ONE_TOKEN_TIMEOUT_MS;
    this.#oneToken = { deadlineAt, leave, outcome: askOneToken(this.origin, leave.signal) };
    this.observe({ kind: "one-token-sent" });
    await this.#endOneToken();
  }

  /** Of a server that answers the outcome is waited for; of one that doesn't it is the deadline's. */
  async #endOneToken(): Promise<void> {
    if (this.#oneToken === null) return;
    const { deadlineAt, leave, outcome } = this.#oneToken;
    if (this.hangs === "calls" && this.now < deadlineAt) return;
    this.#oneToken = null;
    if (this.hangs === "calls") {
      leave.abort();
      this.observe({ kind: "one-token", outcome: { end: "timeout" } });
    } else {
      const ended = await outcome;
      this.now += ONE_TOKEN_MS;
      this.observe({ kind: "one-token", outcome: ended });
    }
  }
}

async function askHealth(origin: string, hangs: boolean): Promise<HealthAnswer> {
  try {
    const signal = hangs ? AbortSignal.timeout(NO_ANSWER_MS) : null;
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

async function askOneToken(origin: string, signal: AbortSignal): Promise<OneTokenOutcome> {
  try {
    const response = await complete(origin, 1, signal);
    await response.text();
    if (response.ok) return { end: "answered", ms: ONE_TOKEN_MS };
    return { end: response.status === 503 ? "loading" : "error" };
  } catch {
    return { end: "broken" };
  }
}

const watches: Watch[] = [];

async function start(options: StartOptions = {}): Promise<SimulatedServer> {
  const server = await startLlamaServer({ ...PACES, ...options });
  onTestFinished(async () => void (await server.stop()));
  return server;
}

/** Shared by all tests but the one in which it dies. */
let server: SimulatedServer;
beforeAll(async () => {
  server = await startLlamaServer(PACES);
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.stop();
  await server.set({ stall: false, stallAfterTokens: null, hangHealth: false, tokensPerSecond: 200 });
  await server.until(({ generating }) => generating === 0);
});

it("a process that dies is out of use within the steady pace, and in use within a second of its having loaded", async () => {
  const first = await start();
  const watch = new Watch(first.url);
  await watch.become("ready");
  const died = watch.now;
  await first.die();
  await watch.become("down");
  expect(watch.now - died).toBeLessThanOrEqual(1_000);
  const second = await start({ switches: { loading: true } });
  watch.origin = second.url;
  await watch.become("loading");
  await second.set({ loading: false });
  const loaded = watch.now;
  await watch.become("ready");
  expect(watch.now - loaded).toBeLessThanOrEqual(1_000);
  expect(watch.changes).toEqual(["ready well", "down refused", "loading loading", "ready well"]);
});

it("a server that hangs under a call while /health says 200 is stalled, stays so, and comes back with its tokens", async () => {
  const watch = new Watch(server.url);
  await watch.become("ready");
  await server.set({ stallAfterTokens: 3 });
  const leave = new AbortController();
  const call = complete(server.url, 4_000, leave.signal).catch(() => undefined);
  await until(async () => {
    const slots = await readSlots(new ProbeConnection(server.url), KEY);
    return Array.isArray(slots) && slots.some(({ decoded }) => decoded === 3);
  }, "three tokens of the call");
  await server.set({ stall: true, stallAfterTokens: null });
  watch.hangs = "calls";
  const from = watch.now;
  await watch.become("stalled");
  expect(watch.now - from).toBeGreaterThanOrEqual(STALL_MS);
  expect(watch.now - from).toBeLessThanOrEqual(STALL_MS + 2_000);
  expect(await askHealth(server.url, false)).toBe("ok");
  await watch.until(() => watch.record.oneToken.failures > 0, "a one-token call to fail too");
  expect(isUsable(watch.record)).toBe(false);
  await server.set({ stall: false });
  watch.hangs = null;
  await watch.become("ready");
  expect(watch.changes).toEqual(["ready well", "stalled no-decode", "ready well"]);
  leave.abort();
  await call;
});

it("a server that hangs from the start is stalled before any caller's request meets it", async () => {
  await server.set({ stall: true });
  const watch = new Watch(server.url);
  watch.hangs = "calls";
  await watch.become("stalled");
  expect(watch.changes).toEqual(["ready well", "stalled one-token-unanswered"]);
  await server.set({ stall: false });
  watch.hangs = null;
  await watch.become("ready");
});

it("a server whose /health gives no answer is down, and ready with the first one", async () => {
  const watch = new Watch(server.url);
  await watch.become("ready");
  await server.set({ hangHealth: true });
  watch.hangs = "health";
  await watch.become("down");
  await server.set({ hangHealth: false });
  watch.hangs = null;
  await watch.become("ready");
  expect(watch.changes).toEqual(["ready well", "down no-answer", "ready well"]);
});

it("a server far slower than it used to be is slow, and ready once it is as before", async () => {
  // As fast as it goes is a hundred times the slow pace, on any machine.
  await server.set({ tokensPerSecond: 0 });
  const watch = new Watch(server.url);
  await watch.become("ready");
  const call = async (): Promise<void> => {
    const response = await complete(server.url, 16);
    const { timings } = (await response.json()) as { timings: { predicted_n: number; predicted_ms: number } };
    watch.observe({
      kind: "call",
      fate: "answered",
      decodedTokens: timings.predicted_n,
      decodeMs: timings.predicted_ms,
      promptTokens: null,
    });
  };
  for (let calls = 0; calls < 10; calls += 1) await call();
  expect(watch.record.state).toBe("ready");
  await server.set({ tokensPerSecond: 100 });
  while (watch.record.state === "ready") await call();
  expect(watch.record.cause.tag).toBe("slow-decode");
  await server.set({ tokensPerSecond: 0 });
  while (watch.record.state === "slow") await call();
  expect(watch.record.state).toBe("ready");
});
