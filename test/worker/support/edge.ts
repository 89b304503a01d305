// An edge for one test: a Worker of the test's own fleet, asked as a client would ask it, with the real limiter
// objects behind it.
import { env } from "cloudflare:workers";
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { onTestFinished, vi } from "vitest";
import type { FleetConfig } from "../../../shared/fleet.ts";
import type { ErrorBody } from "../../../shared/errors.ts";
import { createWorker } from "../../../worker/app.ts";
import type { Bindings } from "../../../worker/env.ts";
// Loads the objects' classes before any test: the first call of an object would wait for that, and a limiter's no
// longer than LIMITER_TIMEOUT_MS.
import "../../../worker/index.ts";

export const BOX_SECRET = "a secret of this suite alone";

export interface TestRequest {
  readonly method?: string;
  /** The host the client asked; the development keys work on a loopback one. */
  readonly host?: string;
  /** Sent as a bearer; null sends none. */
  readonly key?: string | null;
  readonly address?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object goes as JSON; text, bytes and streams as they are. */
  readonly body?: object | string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly signal?: AbortSignal;
}

export interface Edge {
  (path: string, init?: TestRequest): Promise<Response>;
  /** Waits for what runs on after answers. */
  settled(): Promise<void>;
}

interface EdgeOptions {
  readonly bindings?: Partial<Bindings>;
  readonly context?: ExecutionContext;
}

/**
 * One isolate's edge: what it keeps in memory is its own, the limiter objects are everybody's. Time stands still until
 * the test moves it: on a starved machine an answer of a limiter object would come too late to count.
 */
export function edgeOf(fleet: FleetConfig, { bindings = {}, context }: EdgeOptions = {}): Edge {
  if (!vi.isFakeTimers()) stopClock(Date.now());
  const worker = createWorker(fleet);
  const contexts: ExecutionContext[] = [];
  const given: Bindings = { ...env, BOX_SECRET, DEV_KEYS: "1", BOX_ORIGINS: "", ...bindings };
  const address = newAddress();
  const ask = async (path: string, init: TestRequest = {}): Promise<Response> => {
    const running = context ?? createExecutionContext();
    contexts.push(running);
    const request = requestOf(path, { address, ...init });
    if (worker.fetch === undefined) throw new Error("the edge answers no requests");
    return worker.fetch(request, given, running);
  };
  const settled = async (): Promise<void> => {
    await Promise.all(contexts.map(async (running) => waitOnExecutionContext(running)));
  };
  return Object.assign(ask, { settled });
}

function requestOf(path: string, init: TestRequest): Request<unknown, IncomingRequestCfProperties> {
  const { method = init.body === undefined ? "GET" : "POST", host = "localhost", key = "dev-key" } = init;
  const { body } = init;
  const raw = typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
  const headers = new Headers({
    ...(init.address === undefined ? {} : { "cf-connecting-ip": init.address }),
    ...(init.body === undefined ? {} : { "content-type": "application/json" }),
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    ...init.headers,
  });
  return new Request<unknown, IncomingRequestCfProperties>(`http://${host}${path}`, {
    method,
    headers,
    ...(init.body === undefined ? {} : { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** An address nobody has asked from: each has a limiter object of its own. */
export function newAddress(): string {
  const [a, b, c] = crypto.getRandomValues(new Uint16Array(3));
  return `fd00:${[a, b, c].map((group) => (group ?? 0).toString(16)).join(":")}::1`;
}

/** A key of the old system that nobody has used, and its line in a fleet file. */
export async function newLegacyKey(
  agents: string[] | null = null,
): Promise<{ text: string; line: { name: string; sha256: string; agents: string[] | null } }> {
  const text = `old-${crypto.randomUUID()}`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { text, line: { name: "old", sha256, agents } };
}

export const CHAT = "/v1/chat/completions";

/** A chat body that every chat model takes. */
export function chat(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { messages: [{ role: "user", content: "hello" }], ...more };
}

export async function errorOf(response: Response): Promise<ErrorBody["error"]> {
  return (await response.json<ErrorBody>()).error;
}

/** The clock of this test, stopped: objects and edge both see it. */
export function stopClock(at: number): { to(later: number): void } {
  vi.useFakeTimers({ toFake: ["Date"], now: at });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  return { to: (later) => void vi.setSystemTime(later) };
}

/** The edge's log lines while the test runs, which stay out of the test's output. */
export function captureLog(): string[] {
  const lines: string[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)));
  onTestFinished(() => {
    spy.mockRestore();
  });
  return lines;
}
