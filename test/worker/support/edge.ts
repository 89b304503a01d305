// An edge for one test: a Worker with the test's fleet and the real limiter objects.
import { env } from "cloudflare:workers";
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { onTestFinished, vi } from "vitest";
import type { FleetConfig } from "../../../shared/fleet.ts";
import type { ErrorBody } from "../../../shared/errors.ts";
import { createWorker } from "../../../worker/app.ts";
import type { Bindings } from "../../../worker/env.ts";
// Loads the objects' classes before any test: otherwise the first call of a limiter object could exceed
// LIMITER_TIMEOUT_MS.
import "../../../worker/index.ts";

export const BOX_SECRET = "a secret of this suite alone";

export interface TestRequest {
  readonly method?: string;
  /** The requested host; development keys are valid on a loopback host. */
  readonly host?: string;
  readonly scheme?: "http" | "https";
  /** Sent as a bearer token; null sends none. */
  readonly key?: string | null;
  readonly address?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON; texts, bytes and streams are sent unchanged. */
  readonly body?: object | string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly signal?: AbortSignal;
}

export interface Edge {
  (path: string, init?: TestRequest): Promise<Response>;
  /** Waits for work that continues after answers. */
  settled(): Promise<void>;
}

interface EdgeOptions {
  readonly bindings?: Partial<Bindings>;
  readonly context?: ExecutionContext;
}

/**
 * The edge of one isolate: its memory is its own, the limiter objects are shared. The clock is stopped until the test
 * sets it, so that leases don't expire on a slow machine.
 */
export function edgeOf(fleet: FleetConfig, { bindings = {}, context }: EdgeOptions = {}): Edge {
  if (!vi.isFakeTimers()) stopClock(Date.now());
  const worker = createWorker(fleet);
  const contexts: ExecutionContext[] = [];
  const bound: Bindings = {
    ...env,
    BOX_SECRET,
    DEV_KEYS: "1",
    BOX_ORIGINS: "",
    ACCESS_CLIENT_ID: "edge",
    ACCESS_CLIENT_SECRET: "a token of this suite alone",
    ...bindings,
  };
  const address = newAddress();
  const request = async (path: string, init: TestRequest = {}): Promise<Response> => {
    const running = context ?? createExecutionContext();
    contexts.push(running);
    const sent = requestOf(path, { address, ...init });
    if (worker.fetch === undefined) throw new Error("the Worker has no fetch handler");
    return worker.fetch(sent, bound, running);
  };
  const settled = async (): Promise<void> => {
    await Promise.all(contexts.map(async (running) => waitOnExecutionContext(running)));
  };
  return Object.assign(request, { settled });
}

function requestOf(path: string, init: TestRequest): Request<unknown, IncomingRequestCfProperties> {
  const { method = init.body === undefined ? "GET" : "POST", host = "localhost", key = "dev-key" } = init;
  const { body, scheme = "http" } = init;
  const raw = typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
  const headers = new Headers({
    ...(init.address === undefined ? {} : { "cf-connecting-ip": init.address }),
    ...(init.body === undefined ? {} : { "content-type": "application/json" }),
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    ...init.headers,
  });
  return new Request<unknown, IncomingRequestCfProperties>(`${scheme}://${host}${path}`, {
    method,
    headers,
    ...(init.body === undefined ? {} : { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** An unused address, which has its own limiter object. */
export function newAddress(): string {
  const [a, b, c] = crypto.getRandomValues(new Uint16Array(3));
  return `fd00:${[a, b, c].map((group) => (group ?? 0).toString(16)).join(":")}::1`;
}

/** An unused key of the old system, and its line in a fleet file. */
export async function newLegacyKey(
  agents: string[] | null = null,
  until = "2999-12-31",
): Promise<{
  text: string;
  line: { name: string; sha256: string; agents: string[] | null; until: string };
}> {
  const text = `old-${crypto.randomUUID()}`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { text, line: { name: "old", sha256, agents, until } };
}

export const CHAT = "/v1/chat/completions";

/** A chat body that every chat model accepts. */
export function chat(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { messages: [{ role: "user", content: "hello" }], ...more };
}

export async function errorOf(response: Response): Promise<ErrorBody["error"]> {
  return (await response.json<ErrorBody>()).error;
}

/** Stops the clock of the edge and its objects until the test ends. */
export function stopClock(at: number): { to(later: number): void } {
  vi.useFakeTimers({ toFake: ["Date"], now: at });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  return { to: (later) => void vi.setSystemTime(later) };
}

/** Records the edge's log lines until the test ends, instead of printing them. */
export function captureLog(): string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)));
  onTestFinished(() => {
    spy.mockRestore();
  });
  return lines;
}
