// Asks a running stack as a client would, and reads what comes back to the byte.
import type { State } from "../sim/start.ts";
import type { startStack } from "../../scripts/stack.mjs";

export type Stack = Awaited<ReturnType<typeof startStack>>;

/** The question of the old system's published examples. */
export const CHEST_PAIN = [{ role: "user", content: "Patient complaint: chest pain" }];

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** POSTs to the chat route with the development key. */
export async function ask(
  stack: Pick<Stack, "edgeUrl">,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-key", ...headers },
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
