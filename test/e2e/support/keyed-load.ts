// Calls with a key, from many clients at once, and what came of each: when it was sent, what was answered.
import { CHEST_PAIN, type Stack } from "./ask.ts";

/** One call. Times are this process's, in milliseconds since 1970: on one machine the edge's too. */
export interface Fate {
  readonly sentAt: number;
  /** When all of the answer had come. */
  readonly cameAt: number;
  readonly status: number;
  readonly stream: boolean;
  /** Of a stream that was let in: whether it came to its end. */
  readonly whole: boolean;
  /** The error's code, of a stream also one that came as its last event. */
  readonly code: string | null;
}

interface LoadOptions {
  readonly stack: Stack;
  readonly key: string;
  /** Clients that ask for the models, one call after another, and clients that stream an answer. */
  readonly askers: number;
  readonly streamers: number;
}

export interface Load {
  /** All fates so far, in the order they became known. */
  readonly fates: readonly Fate[];
  /** Stops sending and waits for what is under way. */
  stop(): Promise<void>;
}

export function startLoad({ stack, key, askers, streamers }: LoadOptions): Load {
  const fates: Fate[] = [];
  const stopping = new AbortController();
  const client = async (send: (stack: Stack, key: string) => Promise<Fate>): Promise<void> => {
    while (!stopping.signal.aborted) {
      const fate = await send(stack, key);
      // A frozen machine's limiter objects answered for neither side: such a call shows nothing of its key.
      if (fate.code !== "limiter_unavailable") fates.push(fate);
    }
  };
  const clients = [
    ...Array.from({ length: askers }, async () => client(askOnce)),
    ...Array.from({ length: streamers }, async () => client(streamOnce)),
  ];
  return {
    fates,
    async stop() {
      stopping.abort();
      await Promise.all(clients);
    },
  };
}

const codeIn = (text: string): string | null => /"code":"(\w+)"/.exec(text)?.[1] ?? null;

async function askOnce(stack: Stack, key: string): Promise<Fate> {
  const sentAt = Date.now();
  const response = await fetch(`${stack.edgeUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const text = await response.text();
  const { status, ok } = response;
  return { sentAt, cameAt: Date.now(), status, stream: false, whole: true, code: ok ? null : codeIn(text) };
}

async function streamOnce(stack: Stack, key: string): Promise<Fate> {
  const sentAt = Date.now();
  const response = await fetch(`${stack.edgeUrl}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ agent_type: "Clinical", stream: true, max_tokens: 40, messages: CHEST_PAIN }),
  });
  const text = await response.text();
  const whole = text.trimEnd().endsWith("data: [DONE]");
  const code = whole ? null : codeIn(text);
  return { sentAt, cameAt: Date.now(), status: response.status, stream: true, whole, code };
}
