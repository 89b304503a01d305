// Asks a running stack as a client would, and reads what comes back to the byte.
import { BoxHealth } from "../../../shared/health.ts";
import type { State } from "../../sim/start.ts";
import type { StackOptions } from "../../../scripts/stack/run.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import { until } from "../../support/until.ts";

export type Stack = Awaited<ReturnType<typeof startStack>>;

/** The question of the old system's published examples. */
export const CHEST_PAIN = [{ role: "user", content: "Patient complaint: chest pain" }];

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A process that is frozen again at each of these requests is no longer a matter of the machine. */
const MAX_REPEATS = 20;

/** Starts a stack and waits until its servers take calls. */
export async function startReady(options: StackOptions): Promise<Stack> {
  const stack = await startStack(options);
  try {
    await serversReady(stack);
  } catch (error) {
    await stack.stop();
    throw error;
  }
  return stack;
}

/** Waits until each agent reports every one of its servers ready. */
export async function serversReady(stack: Pick<Stack, "boxes">): Promise<void> {
  await until(async () => {
    const states = await Promise.all(stack.boxes.map(({ agentUrl }) => serverStates(agentUrl)));
    return states.every((box) => [...box.values()].every((state) => state === "ready"));
  }, "every server is ready");
}

/** Each server's state as its agent reports it, by port. */
export async function serverStates(agentUrl: string): Promise<ReadonlyMap<number, string>> {
  const { servers } = BoxHealth.parse(await (await fetch(`${agentUrl}/healthz`)).json());
  return new Map(servers.map(({ port, state }) => [port, state]));
}

/**
 * Fetches from the edge. The edge refuses what its limiter objects don't answer for within their time-out, as on a
 * machine that froze in between, and asks its client to repeat the request: this does.
 */
export async function fetchEdge(url: string, init: RequestInit = {}): Promise<Response> {
  for (let repeats = 0; ; repeats += 1) {
    const response = await fetch(url, init);
    if (response.status !== 503 || repeats === MAX_REPEATS) return response;
    if (!(await response.clone().text()).includes('"limiter_unavailable"')) return response;
  }
}

/**
 * As `ask`, of a stack whose servers are all meant to be up. A server that was frozen is down for its agent, and the
 * answer names what replaced it: the request is repeated once all servers are ready.
 */
export async function askReady(
  stack: Pick<Stack, "edgeUrl" | "boxes">,
  body: unknown,
  headers: HeaderChanges = {},
): Promise<Answer> {
  for (let repeats = 0; ; repeats += 1) {
    const answer = await ask(stack, body, headers);
    const isReplaced = answer.status === 503 || answer.headers.has("x-isha-fallback-from");
    if (!isReplaced || repeats === MAX_REPEATS) return answer;
    await serversReady(stack);
  }
}

/** Further headers; null takes one away. */
type HeaderChanges = Readonly<Record<string, string | null>>;

/** POSTs to the chat route with the development key. */
export async function ask(
  stack: Pick<Stack, "edgeUrl">,
  body: unknown,
  headers: HeaderChanges = {},
): Promise<Answer> {
  const response = await fetchEdge(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: Object.entries({
      "content-type": "application/json",
      authorization: "Bearer dev-key",
      ...headers,
    }).filter((header): header is [string, string] => header[1] !== null),
    body: typeof body === "string" || body instanceof Uint8Array ? (body as BodyInit) : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The answer's JSON. */
export function json<T = Record<string, never>>(answer: Answer): T {
  return JSON.parse(answer.text) as T;
}

/** The `data` of every event; `[DONE]` as it is. */
export function events<T = Record<string, never>>(answer: Answer): (T | "[DONE]")[] {
  return answer.text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => (event === "data: [DONE]" ? "[DONE]" : (JSON.parse(event.slice(6)) as T)));
}

interface ErrorShape {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
    readonly request_id: string;
  };
}

export function errorOf(answer: Answer): ErrorShape["error"] {
  return json<ErrorShape>(answer).error;
}

function serverOf(stack: Stack, port: number): Stack["boxes"][number]["servers"][number] {
  const found = stack.boxes.flatMap((box) => box.servers).find((server) => server.port === port);
  if (found === undefined) throw new Error(`no server ${port}`);
  return found;
}

/** What a simulated server has seen. */
export async function stateOf(stack: Stack, port: number): Promise<State> {
  const response = await fetch(`${serverOf(stack, port).controlUrl ?? ""}/state`);
  return (await response.json()) as State;
}

/** Switches a simulated server's faults. */
export async function switchServer(
  stack: Stack,
  port: number,
  switches: State["switches"] | object,
): Promise<void> {
  const response = await fetch(`${serverOf(stack, port).controlUrl ?? ""}/switches`, {
    method: "POST",
    body: JSON.stringify(switches),
  });
  if (!response.ok) throw new Error(await response.text());
}

/** Empties what a simulated server remembers of its calls. */
export async function forgetCalls(stack: Stack, port: number): Promise<void> {
  await fetch(`${serverOf(stack, port).controlUrl ?? ""}/forget`, { method: "POST" });
}

/** How many calls each server has been sent, by port. */
export async function callsSeen(stack: Stack): Promise<Record<number, number>> {
  const servers = stack.boxes.flatMap((box) => box.servers);
  const counts = await Promise.all(
    servers.map(async ({ port }): Promise<[number, number]> => {
      const { requestsByRoute } = await stateOf(stack, port);
      const calls = Object.entries(requestsByRoute).filter(([route]) =>
        route.includes("/v1/chat/completions"),
      );
      return [port, calls.reduce((sum, [, count]) => sum + count, 0)];
    }),
  );
  return Object.fromEntries(counts);
}
