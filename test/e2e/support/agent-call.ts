// Speaks to an agent as its edge does, and reads what comes back to the byte: whether a stream was whole, what
// it said, and what it cost.
import { createHmac, randomUUID } from "node:crypto";
import { Agent, request } from "node:http";
import { boxToken } from "../../../shared/box-token.ts";
import { encodeCall, type Call } from "../../../shared/call-headers.ts";

/** An agent's address, and the secret that proves to it that its edge is calling. */
export interface AgentAddress {
  readonly agentUrl: string;
  readonly boxSecret: string;
  readonly box: string;
}

export interface CallAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** `cut`: the connection broke before the answer's end; `left`: it was us. */
  readonly ended: "whole" | "cut" | "left";
}

export interface Asked {
  readonly body: object;
  readonly call?: Partial<Call>;
  readonly signal?: AbortSignal;
  /** Called with the answer's status, then with each piece of it. */
  readonly onPiece?: (piece: string) => void;
}

const hmac = (secret: string, text: string): Promise<string> =>
  Promise.resolve(createHmac("sha256", secret).update(text).digest("hex"));

/** As the tunnel does, one connection carries many calls, one after another. */
const connections = new Agent({ keepAlive: true, maxSockets: 512 });

/** A call as the edge writes it, for one server and no other. */
export function callFor(port: number, other: Partial<Call> = {}): Call {
  return {
    requestId: randomUUID(),
    dialect: "chat",
    format: "openai",
    wantedPort: port,
    ports: [port],
    fallbackPorts: [],
    stream: true,
    choices: 1,
    continuable: true,
    keyId: "key-1",
    scope: null,
    agentType: "Default",
    priority: "normal",
    concurrent: null,
    deadlineMs: 60_000,
    set: {},
    ...other,
  };
}

/** Makes one call; what goes wrong on the way is in what it gives back. It never asks twice. */
export async function callAgent(at: AgentAddress, call: Call, asked: Asked): Promise<CallAnswer> {
  const token = await boxToken(hmac, at.boxSecret, at.box, "edge-to-agent");
  const body = JSON.stringify({ temperature: 0, stream: call.stream, ...asked.body });
  return new Promise((resolve) => {
    let text = "";
    let status = 0;
    let headers: CallAnswer["headers"] = {};
    let settled = false;
    const settle = (ended: CallAnswer["ended"]): void => {
      if (settled) return;
      settled = true;
      resolve({ status, headers, text, ended: asked.signal?.aborted === true ? "left" : ended });
    };
    const sent = request(`${at.agentUrl}/v1/chat/completions`, {
      method: "POST",
      agent: connections,
      ...(asked.signal === undefined ? {} : { signal: asked.signal }),
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "x-isha-token": token,
        ...encodeCall(call),
      },
    });
    sent.on("response", (response) => {
      status = response.statusCode ?? 0;
      headers = response.headers;
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
        asked.onPiece?.(piece);
      });
      response.on("end", () => settle("whole"));
      response.on("error", () => settle("cut"));
      response.on("close", () => settle("cut"));
    });
    sent.on("error", () => settle("cut"));
    sent.end(body);
  });
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

interface Chunk {
  readonly id?: string;
  readonly model?: string;
  readonly error?: { readonly code: string };
  readonly usage?: Usage | null;
  readonly choices?: readonly {
    readonly finish_reason: string | null;
    readonly delta: { readonly role?: string; readonly content?: string | null };
  }[];
}

/** The content of a stream as its client received it. */
export interface StreamAnswer {
  readonly text: string;
  readonly ids: readonly string[];
  readonly models: readonly string[];
  readonly roles: number;
  readonly finishes: readonly string[];
  readonly errors: readonly string[];
  readonly dones: number;
  readonly usage: Usage | null;
}

export function readStream(text: string): StreamAnswer {
  const chunks: Chunk[] = [];
  let dones = 0;
  for (const event of text.split("\n\n")) {
    if (!event.startsWith("data: ")) continue;
    if (event === "data: [DONE]") dones += 1;
    else chunks.push(JSON.parse(event.slice(6)) as Chunk);
  }
  const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
  return {
    text: choices.map(({ delta }) => delta.content ?? "").join(""),
    ids: [...new Set(chunks.flatMap(({ id }) => id ?? []))],
    models: [...new Set(chunks.flatMap(({ model }) => model ?? []))],
    roles: choices.filter(({ delta }) => delta.role !== undefined).length,
    finishes: choices.flatMap(({ finish_reason }) => finish_reason ?? []),
    errors: chunks.flatMap(({ error }) => error?.code ?? []),
    dones,
    usage: chunks.findLast(({ usage }) => usage != null)?.usage ?? null,
  };
}

/** The code of an error answer, in any shape; null if it is none of ours. */
export function codeOf(received: CallAnswer): string | null {
  try {
    return (JSON.parse(received.text) as { error?: { code?: string } }).error?.code ?? null;
  } catch {
    return null;
  }
}

/** The agent's figures of one name: each with its labels as they are written. */
export async function figures(at: AgentAddress, name: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${at.agentUrl}/metrics`)).text();
  const found = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"));
  return new Map([...found].map(([, labels = "", value]) => [labels, Number(value)]));
}

/** The sum of those figures whose labels have all of these. */
export async function figure(at: AgentAddress, name: string, ...labels: string[]): Promise<number> {
  const all = await figures(at, name);
  return [...all]
    .filter(([written]) => labels.every((label) => written.includes(label)))
    .reduce((sum, [, value]) => sum + value, 0);
}

/** For people who read the run: what was counted and measured. */
export function print(what: string, figures: unknown): void {
  process.stdout.write(`${what}: ${typeof figures === "string" ? figures : JSON.stringify(figures)}\n`);
}

/** The first box of a stack, as its edge addresses it. */
export function addressOf(stack: {
  readonly boxSecret: string;
  readonly boxes: readonly { readonly name: string; readonly agentUrl: string }[];
}): AgentAddress {
  const [box] = stack.boxes;
  if (box === undefined) throw new Error("the stack has no box");
  return { agentUrl: box.agentUrl, box: box.name, boxSecret: stack.boxSecret };
}
