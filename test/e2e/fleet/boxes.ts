// What tests of several boxes ask: the edge for its view of the fleet, each agent for its own, each box's
// simulators for what they were sent; and calls that are watched while they stream.
import { createHmac } from "node:crypto";
import { boxToken } from "../../../shared/box-token.ts";
import { TOKEN_HEADER } from "../../../shared/call-headers.ts";
import { FleetView, type FleetBoxView } from "../../../shared/fleet-view.ts";
import type { Snapshot } from "../../../shared/wire.ts";
import type { State } from "../../sim/start.ts";
import { callAgent, callFor, type AgentAddress } from "../agent/agent-call.ts";
import { CHEST_PAIN, type Stack } from "../ask.ts";

export const FLEET_FILE = "test/fixtures/two-boxes.ts";

/** What an agent answers at `/fleet`: its own snapshot and whether it is linked. */
export type OwnView = Omit<Snapshot, "t" | "seq"> & { readonly linked: boolean; readonly epoch: string };

const hmac = (secret: string, text: string): Promise<string> =>
  Promise.resolve(createHmac("sha256", secret).update(text).digest("hex"));

export async function admin(
  stack: Pick<Stack, "edgeUrl">,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  return fetch(`${stack.edgeUrl}/admin${path}`, {
    method,
    headers: { authorization: "Bearer dev-admin", "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The fleet as the edge shows it; null while the edge is away. */
export async function edgeView(stack: Stack): Promise<FleetView | null> {
  try {
    const response = await admin(stack, "GET", "/fleet");
    return response.ok ? FleetView.parse(await response.json()) : null;
  } catch {
    return null;
  }
}

export async function edgeBox(stack: Stack, box: string): Promise<FleetBoxView | null> {
  return (await edgeView(stack))?.boxes.find(({ name }) => name === box) ?? null;
}

/** A box's agent, as its edge addresses it. */
export function agentOf(stack: Stack, box: string): AgentAddress {
  return { agentUrl: handleOf(stack, box).agentUrl, box, boxSecret: stack.boxSecret };
}

/** The box as its agent knows it now. */
export const ownView = (stack: Stack, box: string): Promise<OwnView> => viewAt(agentOf(stack, box));

/** Names the agent's process: while one takes over from another, the one that gets new connections. */
export const epochOf = async (agent: AgentAddress): Promise<string> => (await viewAt(agent)).epoch;

async function viewAt({ agentUrl, box, boxSecret }: AgentAddress): Promise<OwnView> {
  const token = await boxToken(hmac, boxSecret, box, "edge-to-agent");
  const headers = { [TOKEN_HEADER]: token, connection: "close" };
  const response = await fetch(`${agentUrl}/fleet`, { headers });
  if (!response.ok) throw new Error(`${box}'s agent answered ${response.status}`);
  return (await response.json()) as OwnView;
}

export async function serverState(stack: Stack, box: string, port: number): Promise<State> {
  return (await (await fetch(`${controlOf(stack, box, port)}/state`)).json()) as State;
}

export async function setSwitches(stack: Stack, box: string, port: number, switches: object): Promise<void> {
  const body = JSON.stringify(switches);
  const response = await fetch(`${controlOf(stack, box, port)}/switches`, { method: "POST", body });
  if (!response.ok) throw new Error(await response.text());
}

function handleOf(stack: Stack, box: string): Stack["boxes"][number] {
  const found = stack.boxes.find(({ name }) => name === box);
  if (found === undefined) throw new Error(`no box ${box}`);
  return found;
}

function controlOf(stack: Stack, box: string, port: number): string {
  const server = handleOf(stack, box).servers.find((candidate) => candidate.port === port);
  if (server === undefined) throw new Error(`no server ${box}:${port}`);
  return server.controlUrl ?? "";
}

/** Calls that hold slots and places of one server until they are let go. */
export interface Held {
  readonly ended: Promise<unknown>;
  release(): Promise<void>;
}

/** Straight to a box's agent, each call with a key of its own, so that no key's share of the places is in the way. */
export function hold(stack: Stack, box: string, port: number, calls: number, tokens = 1024): Held {
  const leaving = new AbortController();
  const all = Array.from({ length: calls }, (_, at) =>
    callAgent(
      agentOf(stack, box),
      callFor(port, { keyId: `holder-${box}-${at}`, set: { n_predict: tokens } }),
      {
        body: { messages: CHEST_PAIN, ignore_eos: true },
        signal: leaving.signal,
      },
    ),
  );
  const ended = Promise.all(all);
  return {
    ended,
    release: async () => {
      leaving.abort();
      await ended;
    },
  };
}

export interface Streamed {
  readonly status: number;
  /** The box that answered; null where none did. */
  readonly box: string | null;
  readonly text: string;
  /** `Retry-After`, seconds; null without one. */
  readonly retryAfterS: number | null;
}

export interface StreamOptions {
  readonly tokens: number;
  readonly agentType?: string;
  readonly stream?: boolean;
  /** Once the first text has come, with the box it comes from. */
  readonly onText?: (box: string | null) => void;
}

/** One call at the edge, with no second try of any kind. */
export async function callEdge(
  stack: Pick<Stack, "edgeUrl">,
  { tokens, agentType = "Clinical", stream = true, onText }: StreamOptions,
): Promise<Streamed> {
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer dev-key" },
    body: JSON.stringify({
      agent_type: agentType,
      format: "openai",
      stream,
      max_tokens: tokens,
      ignore_eos: true,
      messages: CHEST_PAIN,
    }),
  });
  const box = response.headers.get("x-isha-box");
  const decoder = new TextDecoder();
  let text = "";
  let hasText = false;
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (hasText || !/"content":"[^"]/.test(text)) continue;
    hasText = true;
    onText?.(box);
  }
  const retryAfter = response.headers.get("retry-after");
  return { status: response.status, box, text, retryAfterS: retryAfter === null ? null : Number(retryAfter) };
}

/** The code of an error answer; null where it is none. */
export function errorCode(text: string): string | null {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code ?? null;
  } catch {
    return null;
  }
}

/** How many of the calls each box answered, as `{"north":3,"south":4}`. */
export function byBox(calls: readonly Pick<Streamed, "box">[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { box } of calls) counts[box ?? "none"] = (counts[box ?? "none"] ?? 0) + 1;
  return counts;
}
