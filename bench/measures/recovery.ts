// Measures what users and operators notice when something breaks, on the whole stack with simulated llama-servers:
// how long a client's departure keeps a slot, a dead server keeps calls, a recovered one waits for its first call, and a
// stream pauses when its server dies.
import { setTimeout as pause } from "node:timers/promises";
import { Pool } from "undici";
import type { Stack } from "../../scripts/stack/run.ts";
import { quantile } from "../statistics.ts";

/** Pace of the simulated servers: a token every 10 ms. */
export const SIMULATOR = { tokensPerSecond: 100, promptTokensPerSecond: 0 } as const;

/** The box's token among the headers of a call. */
const TOKEN_HEADER = "x-isha-token";
const POLL_MS = 5;
/** The edge admits 100 requests per second from one address. */
const EDGE_POLL_MS = 20;
const GIVE_UP_MS = 60_000;
/** Longer than any measurement: its stream never ends by itself. */
const LONG_ANSWER_TOKENS = 900;
const ABORTS = 40;
const DEATHS = 12;
const PIECES_BEFORE_DEATH = 20;

/** A running stack and how its agent is addressed. */
export interface Trial {
  readonly stack: Stack;
  /** Headers of a call to `port` as the edge sends them, the box's token among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly port: number;
}

export interface Spread {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface DeathTimes {
  /** From SIGKILL until the agent sends the server no calls. */
  readonly ejected: Spread;
  /** From SIGKILL until the edge reports the server as down, as the console shows it. */
  readonly shown: Spread;
  /** From the server's first 200 at /health until a call is answered by it. */
  readonly used: Spread;
}

/** From a client's departure, at the agent, until the agent has proved that its slot is idle. */
export async function abortToFree(trial: Trial): Promise<Spread> {
  const { stack, port, headers } = trial;
  const agent = agentUrl(stack);
  const times: number[] = [];
  for (let round = 0; round < ABORTS; round += 1) {
    const leaving = new AbortController();
    const response = await fetch(`${agent}/v1/chat/completions`, {
      method: "POST",
      headers,
      body: chat(port, LONG_ANSWER_TOKENS),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    const left = performance.now();
    leaving.abort();
    await waitFor(async () => (await serverAt(trial))?.busy === 0);
    times.push(performance.now() - left);
  }
  return spread(times);
}

export async function deathTimes(trial: Trial): Promise<DeathTimes> {
  const { stack, port } = trial;
  const times = { ejected: [] as number[], shown: [] as number[], used: [] as number[] };
  for (let round = 0; round < DEATHS; round += 1) {
    const killed = performance.now();
    await stack.killServer(port);
    await Promise.all([
      waitFor(async () => (await serverAt(trial))?.state !== "ready").then(() =>
        times.ejected.push(performance.now() - killed),
      ),
      waitFor(async () => (await shownState(stack, port)) === "down", EDGE_POLL_MS).then(() =>
        times.shown.push(performance.now() - killed),
      ),
    ]);
    await stack.startServer(port);
    await waitFor(async () => (await fetch(`${serverUrl(stack, port)}/health`)).ok);
    const healthy = performance.now();
    await waitFor(
      async () => (await ask(stack, port, 1)).headers.get("x-isha-port") === String(port),
      EDGE_POLL_MS,
    );
    times.used.push(performance.now() - healthy);
    await waitFor(async () => (await shownState(stack, port)) === "ready", EDGE_POLL_MS);
  }
  return { ejected: spread(times.ejected), shown: spread(times.shown), used: spread(times.used) };
}

/** The longest pause between two pieces of a stream whose server dies and that a replica continues. */
export async function continuationGap(trial: Trial): Promise<Spread> {
  const { stack, port } = trial;
  const times: number[] = [];
  const pool = new Pool(stack.edgeUrl);
  try {
    for (let round = 0; round < DEATHS; round += 1) {
      times.push(await longestGap(pool, stack, port));
      await stack.startServer(port);
      await waitFor(async () => (await serverAt(trial))?.state === "ready");
    }
  } finally {
    await pool.destroy();
  }
  return spread(times);
}

async function longestGap(pool: Pool, stack: Stack, port: number): Promise<number> {
  const { body, headers } = await pool.request({
    method: "POST",
    path: "/v1/chat/completions",
    headers: KEY,
    body: chat(port, 200),
  });
  if (headers["x-isha-port"] !== String(port)) throw new Error(`port ${port} didn't answer the call`);
  let pieces = 0;
  let lastAt = performance.now();
  let longest = 0;
  let end = "";
  for await (const piece of body) {
    const now = performance.now();
    if (pieces > 0) longest = Math.max(longest, now - lastAt);
    lastAt = now;
    pieces += 1;
    end = String(piece);
    if (pieces === PIECES_BEFORE_DEATH) void stack.killServer(port);
  }
  if (!end.includes("[DONE]")) throw new Error(`the stream wasn't continued: ${end.slice(-300)}`);
  return longest;
}

const KEY = { "content-type": "application/json", authorization: "Bearer dev-key" };

function chat(port: number, tokens: number): string {
  const messages = [{ role: "user", content: "Patient complaint: chest pain" }];
  return JSON.stringify({ model_port: port, messages, max_tokens: tokens, stream: tokens > 1 });
}

async function ask(stack: Stack, port: number, tokens: number): Promise<Response> {
  const init = { method: "POST", headers: KEY, body: chat(port, tokens) };
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, init);
  await response.text();
  return response;
}

interface ServerRow {
  readonly port: number;
  readonly state: string;
  readonly busy: number;
}

async function serverAt({ stack, port, headers }: Trial): Promise<ServerRow | undefined> {
  const token = headers[TOKEN_HEADER] ?? "";
  const answer = await fetch(`${agentUrl(stack)}/fleet`, { headers: { [TOKEN_HEADER]: token } });
  const { servers } = (await answer.json()) as { servers: ServerRow[] };
  return servers.find((server) => server.port === port);
}

async function shownState(stack: Stack, port: number): Promise<string | undefined> {
  const headers = { authorization: "Bearer dev-admin" };
  const answer = await (await fetch(`${stack.edgeUrl}/admin/fleet`, { headers })).json();
  const { boxes } = answer as { boxes: { servers: ServerRow[] }[] };
  return boxes[0]?.servers.find((server) => server.port === port)?.state;
}

function agentUrl(stack: Stack): string {
  return stack.boxes[0]?.agentUrl ?? "";
}

function serverUrl(stack: Stack, port: number): string {
  return stack.boxes[0]?.servers.find((server) => server.port === port)?.url ?? "";
}

/** @throws Error if it isn't so within a minute */
async function waitFor(check: () => Promise<boolean>, pollMs = POLL_MS): Promise<void> {
  const deadline = performance.now() + GIVE_UP_MS;
  for (;;) {
    if (await check().catch(() => false)) return;
    if (performance.now() > deadline) throw new Error("what the bench waited for didn't happen in a minute");
    await pause(pollMs);
  }
}

function spread(times: readonly number[]): Spread {
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), maxMs: Math.max(...times) };
}
