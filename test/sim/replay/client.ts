// A client that sees what a recorder sees: raw header names, arrival times of chunks, and how the connection
// ended. Used to hold the simulator to the recordings, and by tests that need to break things exactly.
import { request } from "node:http";
import type { Agent, ClientRequest, IncomingMessage } from "node:http";

/** One answer as the recordings write it. */
export interface Seen {
  status: number;
  headers: Record<string, string>;
  /** The whole body; for a stream all of its chunks joined. */
  body: string;
  chunks: { at_ms: number; data: string }[];
  /** `complete`, or `error: CODE` if the connection broke. */
  ended: string;
}

export interface Sent {
  port: number;
  method?: string;
  path: string;
  headers?: Record<string, string>;
  /** A string goes out as it is, anything else as JSON. */
  body?: unknown;
  agent?: Agent;
}

export interface Talk {
  request: ClientRequest;
  /** Resolves when the answer has ended, well or not; rejects if none began. */
  seen: Promise<Seen>;
  /** Resolves with the first bytes of the body. */
  first: Promise<string>;
  /** The body as far as it has come. */
  soFar(): string;
  /** Closes the client's side at once. */
  leave(): void;
}

/** Sends a request and keeps everything that comes back. */
export function talk(sent: Sent): Talk {
  const body = sent.body === undefined ? undefined : bytesOf(sent.body);
  const headers = {
    ...(body ? { "content-type": "application/json", "content-length": String(body.length) } : {}),
    ...sent.headers,
  };
  const options = {
    host: "127.0.0.1",
    port: sent.port,
    path: sent.path,
    headers,
    agent: sent.agent ?? false,
  };
  const outgoing = request({ ...options, method: sent.method ?? (body ? "POST" : "GET") });
  const first = Promise.withResolvers<string>();
  const parts: Part[] = [];
  const seen = new Promise<Seen>((resolve, reject) => {
    outgoing.once("error", (error) => {
      first.reject(error);
      reject(error);
    });
    outgoing.once("response", (response) => resolve(watch(response, parts, first.resolve)));
  });
  first.promise.catch(() => undefined);
  seen.catch(() => undefined);
  outgoing.end(body);
  const soFar = (): string => textOf(parts);
  return { request: outgoing, seen, first: first.promise, soFar, leave: () => outgoing.destroy() };
}

/**
 * Sends a request and waits for the end of its answer. A kept connection that the server had closed is tried
 * once more on a fresh one, as every client of a llama-server must.
 */
export async function ask(sent: Sent): Promise<Seen> {
  const { request, seen } = talk(sent);
  try {
    return await seen;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const stale = request.reusedSocket && ["ECONNRESET", "EPIPE"].includes(code);
    if (!stale) throw error;
    return talk(sent).seen;
  }
}

/** The answer's body as JSON. */
export const jsonOf = (seen: Seen): unknown => JSON.parse(seen.body);

/** The events of a stream's text: `event` if it is named, and its data as JSON if it is JSON. */
export function eventsOf(text: string): { event: string; data: unknown }[] {
  return text
    .split("\n\n")
    .filter((block) => block.includes("data: "))
    .map((block) => {
      const lines = block.split("\n");
      const field = (name: string): string =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      const data = field("data");
      return { event: field("event"), data: data === "[DONE]" ? data : (JSON.parse(data) as unknown) };
    });
}

const bytesOf = (body: unknown): Buffer =>
  Buffer.from(typeof body === "string" ? body : JSON.stringify(body));

interface Part {
  at_ms: number;
  data: Buffer;
}

const textOf = (parts: readonly Part[]): string =>
  Buffer.concat(parts.map((part) => part.data)).toString("utf8");

async function watch(response: IncomingMessage, parts: Part[], first: (text: string) => void): Promise<Seen> {
  const started = performance.now();
  response.on("data", (data: Buffer) => {
    if (parts.length === 0) first(data.toString("utf8"));
    parts.push({ at_ms: performance.now() - started, data });
  });
  const ended = await new Promise<string>((resolve) => {
    response.once("end", () => resolve("complete"));
    response.once("error", (error: NodeJS.ErrnoException) =>
      resolve(`error: ${error.code ?? error.message}`),
    );
  });
  return {
    status: response.statusCode ?? 0,
    headers: headersOf(response.rawHeaders),
    body: textOf(parts),
    chunks: parts.map((part) => ({ at_ms: part.at_ms, data: part.data.toString("utf8") })),
    ended,
  };
}

function headersOf(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) headers[raw[at] ?? ""] = raw[at + 1] ?? "";
  return headers;
}
