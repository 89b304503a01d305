// A client of the edge's admin API: one request at a time with a time limit; every answer is validated, and every
// failure says what to do.
import * as z from "zod/mini";
import type { ErrorCode } from "../../shared/errors.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { explainUnreachable } from "./unreachable.ts";

/** The service answers these requests in milliseconds. */
const TIMEOUT_MS = 10_000;
/** A quarter's usage by the hour is half a megabyte. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** All keys that a deployment can have, at ten on a page. */
const MAX_PAGES = 1_000;

const ErrorAnswer = z.object({
  error: z.object({ message: z.string(), code: z.string(), request_id: z.nullish(z.string()) }),
});

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** Parameters without a value are left out. */
export type Query = Readonly<Record<string, string | number | undefined>>;

interface RequestParts {
  readonly method?: Method;
  readonly query?: Query;
  readonly body?: unknown;
  /** `TIMEOUT_MS` by default. */
  readonly timeoutMs?: number;
}

export interface Answer<T> {
  readonly value: T;
  /** The unchanged JSON for `--json`, with fields that this version doesn't know. */
  readonly raw: unknown;
}

interface Service {
  readonly url: string;
  readonly key: string;
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

export class AdminApi {
  readonly #service: Service;

  constructor(service: Service) {
    this.#service = service;
  }

  /** @throws CommandFailure unless the service did what was requested. */
  async request<T>(schema: z.ZodMiniType<T>, path: string, parts: RequestParts = {}): Promise<Answer<T>> {
    const { status, text, response } = await this.#send(path, parts);
    const raw = jsonOrUndefined(text);
    if (status >= 300 || raw === undefined) throw refusal({ status, raw, response, url: this.#service.url });
    const parsed = schema.safeParse(raw);
    if (parsed.success) return { value: parsed.data, raw };
    const fields = parsed.error.issues.map(({ path }) => path.join(".") || "the answer").slice(0, 3);
    throw new CommandFailure(
      EXIT.failed,
      `${this.#service.url} returned an answer that this version of isha can't read (${fields.join(", ")}).`,
      { advice: "Use the same version for this clone and the deployment." },
    );
  }

  /** Returns CSV unchanged. @throws CommandFailure if the answer isn't CSV. */
  async requestCsv(path: string, query: Query): Promise<string> {
    const { status, text, response } = await this.#send(path, { query });
    const isCsv = response.headers.get("content-type")?.startsWith("text/csv") === true;
    if (status >= 300 || !isCsv)
      throw refusal({ status, raw: jsonOrUndefined(text), response, url: this.#service.url });
    return text;
  }

  /** Reads every page of a list, one after another. */
  async requestPages<T extends { readonly next: string | null }>(
    schema: z.ZodMiniType<T>,
    path: string,
    query: Query = {},
  ): Promise<Answer<T>[]> {
    const pages: Answer<T>[] = [];
    let after: string | undefined;
    while (pages.length < MAX_PAGES) {
      const page: Answer<T> = await this.request(schema, path, { query: { ...query, after } });
      pages.push(page);
      if (page.value.next === null) return pages;
      after = page.value.next;
    }
    throw new CommandFailure(EXIT.failed, `${this.#service.url} returned more than ${MAX_PAGES} pages.`);
  }

  async #send(path: string, { method = "GET", query = {}, body, ...parts }: RequestParts) {
    const { url, key, signal } = this.#service;
    const timeoutMs = this.#service.timeoutMs ?? parts.timeoutMs ?? TIMEOUT_MS;
    const target = new URL(path, url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) target.searchParams.set(name, String(value));
    }
    try {
      const response = await fetch(target, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // The key is sent to this host only.
        redirect: "manual",
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      return { status: response.status, text: await readBounded(response), response };
    } catch (error) {
      if (error instanceof CommandFailure) throw error;
      throw unreachable(error, { url, method, timeoutMs, interrupted: signal.aborted });
    }
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new CommandFailure(EXIT.failed, "The answer is larger than isha reads.", {
        advice: "Request less: a shorter time, or one key.",
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

interface Attempt {
  readonly url: string;
  readonly method: Method;
  readonly timeoutMs: number;
  readonly interrupted: boolean;
}

function unreachable(error: unknown, { url, method, timeoutMs, interrupted }: Attempt): CommandFailure {
  const unsure =
    method === "GET"
      ? ""
      : " The change may have been made all the same: check with `isha keys list` and `isha audit`.";
  if (interrupted) return new CommandFailure(EXIT.interrupted, `Interrupted.${unsure}`);
  const { message, advice, sent } = explainUnreachable(error, url, timeoutMs);
  return new CommandFailure(EXIT.unreachable, message, { advice: `${advice}${sent ? unsure : ""}` });
}

/** What to do about a code whose message from the service is meant for a client, not for an operator. */
const ADVICE: Readonly<Record<string, string>> = {
  missing_key: "The key didn't arrive: a proxy in front of the service may remove it.",
  invalid_key:
    "Check that it is this deployment's key and that it is complete: ISHA_ADMIN_KEY, --key-file and ~/.isha/admin-key. A first admin key stops working once another admin key exists; `isha keys bootstrap` makes a new one.",
  expired_key: "Another admin key can change its expiry: isha keys change <id> --expires none.",
  scope_missing:
    "Operators' commands need a key with the scope admin: isha keys create --name <name> --scopes admin.",
};

interface Refusal {
  readonly status: number;
  readonly raw: unknown;
  readonly response: Response;
  readonly url: string;
}

function refusal({ status, raw, response, url }: Refusal): CommandFailure {
  const requestId = response.headers.get("x-request-id");
  const parsed = ErrorAnswer.safeParse(raw);
  if (parsed.success) {
    const { message, code, request_id } = parsed.data.error;
    const retryAfter = response.headers.get("retry-after");
    const wait =
      retryAfter !== null && /^\d{1,5}$/.test(retryAfter) ? `Try again in ${retryAfter} s.` : undefined;
    return new CommandFailure(EXIT.failed, message, {
      code,
      status,
      requestId: request_id ?? requestId,
      advice: Object.hasOwn(ADVICE, code) ? ADVICE[code] : wait,
    });
  }
  const kind = response.headers.get("content-type")?.split(";")[0] ?? "no content type";
  const redirected = status >= 300 && status < 400;
  return new CommandFailure(
    EXIT.failed,
    redirected
      ? `${url} redirects (${status}), and the key isn't sent to another address.`
      : `${url} returned ${status} with ${kind}, which isn't an answer of the service.`,
    {
      requestId,
      advice: "Check the address: --url or ISHA_URL sets it. A login page may be in front of the service.",
    },
  );
}

/** Whether the service reported that there is no such thing. */
export function isNotFound(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && error.detail.code === ("not_found" satisfies ErrorCode);
}
