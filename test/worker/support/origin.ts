// Replaces `fetch` for the edge: records its requests and returns the test's answers. It is the only boundary that this
// suite replaces; the end-to-end tests use real sockets.
import { onTestFinished, vi } from "vitest";
import { callDecoder, type Call } from "../../../shared/call-headers.ts";

/** A request that the edge sent. */
export interface Sent {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly redirect: string;
  readonly signal: AbortSignal;
}

type Script = (sent: Sent) => Response | Promise<Response>;

/** Replaces `fetch` until the test ends. @returns the requests so far. */
export function fakeFetch(script: Script): Sent[] {
  const log: Sent[] = [];
  const replaced = vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    // As in the real `fetch`, a request with an aborted signal is not sent.
    request.signal.throwIfAborted();
    const sent: Sent = {
      url: new URL(request.url),
      method: request.method,
      headers: request.headers,
      bytes: new Uint8Array(await request.arrayBuffer()),
      redirect: request.redirect,
      signal: request.signal,
    };
    log.push(sent);
    return script(sent);
  });
  onTestFinished(() => {
    replaced.mockRestore();
  });
  return log;
}

interface AnswerOptions {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer of the agent on `box`. */
export function agentAnswer(
  box: string,
  body: BodyInit | null,
  { status = 200, headers = {} }: AnswerOptions = {},
): Response {
  return new Response(body, {
    status,
    headers: { "content-type": "application/json", ...headers, "x-isha-agent": box },
  });
}

/** The box of a request, by the host names of support/fleets.ts. */
export function boxOf(sent: Sent): string {
  return sent.url.hostname.split(".")[0] ?? "";
}

/** An agent's `/healthz` answer, with the state of each port. */
export function healthAnswer(box: string, states: Readonly<Record<number, string>>): Response {
  const servers = Object.entries(states).map(([port, state]) => ({ port: Number(port), model: "m", state }));
  return agentAnswer(box, JSON.stringify({ box, version: "1", servers }));
}

/** A body of these chunks that then ends or breaks. */
export function streamOf(
  chunks: readonly (string | Uint8Array)[],
  end: "ends" | "breaks" = "ends",
): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks[at];
      at += 1;
      if (chunk !== undefined)
        controller.enqueue(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
      else if (end === "ends") controller.close();
      else controller.error(new Error("the tunnel broke"));
    },
  });
}

/** Fails as workerd does when a connection is refused. */
export function connectionLost(): never {
  throw new Error("Network connection lost.");
}

/** Cloudflare's answer if no cloudflared is connected. */
export const noTunnel = (): Response => new Response('{"status":530,"error_code":1033}', { status: 530 });

/** The call in a sent request, as an agent decodes it. */
export function callIn(sent: Sent | undefined): Call {
  const decoded = callDecoder(1)(Object.fromEntries(sent?.headers ?? []));
  if (!decoded.ok) throw new Error(`${decoded.header}: ${decoded.reason}`);
  return decoded.call;
}
