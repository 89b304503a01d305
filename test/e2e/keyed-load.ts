// Calls with a key, from many clients at once, and what came of each: when it was sent, what was answered.
import { CHEST_PAIN, type Stack } from "./ask.ts";

/** One call. Times are this process's, milliseconds since 1970: on one machine the edge's too. */
export interface Fate {
  readonly sentAt: number;
  readonly status: number;
  readonly stream: boolean;
  /** Of a stream that was let in: whether it came to its end. */
  readonly whole: boolean;
}

interface LoadOptions {
  readonly stack: Stack;
  /** Read before each call, so that it can change under load. */
  readonly key: () => string;
  /** Clients that ask for the models, one call after another, and clients that stream an answer. */
  readonly askers: number;
  readonly streamers: number;
  /** Between two calls of one client, milliseconds. */
  readonly pauseMs: number;
}

export interface Load {
  /** All fates so far, in the order they became known. */
  readonly fates: readonly Fate[];
  /** Stops sending and waits for what is under way. */
  stop(): Promise<void>;
}

export function startLoad({ stack, key, askers, streamers, pauseMs }: LoadOptions): Load {
  const fates: Fate[] = [];
  const stopping = new AbortController();
  const client = async (stream: boolean): Promise<void> => {
    while (!stopping.signal.aborted) {
      fates.push(await (stream ? streamOnce(stack, key()) : askOnce(stack, key())));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const clients = [
    ...Array.from({ length: askers }, async () => client(false)),
    ...Array.from({ length: streamers }, async () => client(true)),
  ];
  return {
    fates,
    async stop() {
      stopping.abort();
      await Promise.all(clients);
    },
  };
}

async function askOnce(stack: Stack, key: string): Promise<Fate> {
  const sentAt = Date.now();
  const response = await fetch(`${stack.edgeUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await response.arrayBuffer();
  return { sentAt, status: response.status, stream: false, whole: true };
}

async function streamOnce(stack: Stack, key: string): Promise<Fate> {
  const sentAt = Date.now();
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ agent_type: "Clinical", stream: true, max_tokens: 40, messages: CHEST_PAIN }),
  });
  const text = await response.text();
  return { sentAt, status: response.status, stream: true, whole: text.trimEnd().endsWith("data: [DONE]") };
}
