// The edge's admin API, as commands ask it: one bounded call at a time, every answer checked, every failure in
// words that say what to do.
import * as z from "zod";
import type { ErrorCode } from "../../shared/errors.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { unreachableText } from "./unreachable.ts";

/** An operator waits no longer; the service answers these in milliseconds. */
const TIMEOUT_MS = 10_000;
/** A quarter's usage by the hour is half a megabyte. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** As many keys as a deployment can have, at ten a page. */
const MAX_PAGES = 1_000;

const Refused = z.object({
  error: z.object({ message: z.string(), code: z.string(), request_id: z.string().nullish() }),
});

type Method = "GET" | "POST" | "PATCH" | "DELETE";

interface Question {
  readonly method?: Method;
  /** Names and values; those without a value are left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
}

export interface Answer<T> {
  readonly value: T;
  /** As it came, for `--json`: fields that this version doesn't know included. */
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

  /** @throws CommandFailure unless the service did what it was asked to. */
  async ask<T>(schema: z.ZodType<T>, path: string, question: Question = {}): Promise<Answer<T>> {
    const { status, text, response } = await this.#send(path, question);
    const raw = jsonOf(text);
    if (status >= 300 || raw === undefined) throw refusal({ status, raw, response, url: this.#service.url });
    const parsed = schema.safeParse(raw);
    if (parsed.success) return { value: parsed.data, raw };
    const fields = parsed.error.issues.map(({ path }) => path.join(".") || "the whole").slice(0, 3);
    throw new CommandFailure(
      EXIT.failed,
      `${this.#service.url} answered with something this version of isha doesn't understand (${fields.join(", ")}).`,
      {
        advice: "Bring this clone and the deployment to the same version; --json shows answers it does read.",
      },
    );
  }

  /** CSV, word for word. @throws CommandFailure unless that is what came. */
  async askCsv(path: string, query: NonNullable<Question["query"]>): Promise<string> {
    const { status, text, response } = await this.#send(path, { query });
    const isCsv = response.headers.get("content-type")?.startsWith("text/csv") === true;
    if (status >= 300 || !isCsv)
      throw refusal({ status, raw: jsonOf(text), response, url: this.#service.url });
    return text;
  }

  /** Every page of a list, one after another. */
  async askAll<T extends { readonly next: string | null }>(
    schema: z.ZodType<T>,
    path: string,
    query: Question["query"] = {},
  ): Promise<Answer<T>[]> {
    const pages: Answer<T>[] = [];
    let after: string | undefined;
    while (pages.length < MAX_PAGES) {
      const page: Answer<T> = await this.ask(schema, path, { query: { ...query, after } });
      pages.push(page);
      if (page.value.next === null) return pages;
      after = page.value.next;
    }
    throw new CommandFailure(
      EXIT.failed,
      `${this.#service.url} gives page after page; ${MAX_PAGES} were read.`,
    );
  }

  async #send(path: string, { method = "GET", query = {}, body }: Question) {
    const { url, key, signal, timeoutMs = TIMEOUT_MS } = this.#service;
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
        // The key goes nowhere else.
        redirect: "manual",
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      return { status: response.status, text: await boundedText(response), response };
    } catch (error) {
      if (error instanceof CommandFailure) throw error;
      throw unreachable(error, { url, method, timeoutMs, interrupted: signal.aborted });
    }
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new CommandFailure(EXIT.failed, "The answer is larger than isha reads.", {
        advice: "Ask for less: a shorter time, or one key.",
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function jsonOf(text: string): unknown {
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
      : " Whether it was done can't be told from here: `isha keys list` and `isha audit` show it.";
  if (interrupted) return new CommandFailure(EXIT.interrupted, `Interrupted.${unsure}`);
  const { what, advice, sent } = unreachableText(error, url, timeoutMs);
  return new CommandFailure(EXIT.unreachable, what, { advice: `${advice}${sent ? unsure : ""}` });
}

/** What to do about a code, where the service's own message is meant for a client rather than for an operator. */
const ADVICE: Readonly<Record<string, string>> = {
  missing_key: "The key didn't arrive: does something before the service take it off?",
  invalid_key:
    "Is it this deployment's key, and whole? Look at ISHA_ADMIN_KEY, --key-file and ~/.isha/admin-key. A first key that has made an admin key is dead: isha keys bootstrap makes a new one.",
  expired_key: "Another admin key can move its date: isha keys change <id> --expires none.",
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
  const parsed = Refused.safeParse(raw);
  if (parsed.success) {
    const { message, code, request_id } = parsed.data.error;
    const retryAfter = response.headers.get("retry-after");
    const wait =
      retryAfter !== null && /^\d{1,5}$/.test(retryAfter) ? `Ask again in ${retryAfter} s.` : undefined;
    return new CommandFailure(EXIT.failed, message, {
      code,
      status,
      requestId: request_id ?? requestId,
      advice: Object.hasOwn(ADVICE, code) ? ADVICE[code] : wait,
    });
  }
  const kind = response.headers.get("content-type")?.split(";")[0] ?? "nothing";
  const redirected = status >= 300 && status < 400;
  return new CommandFailure(
    EXIT.failed,
    redirected
      ? `${url} leads elsewhere (${status}), and the key isn't taken there.`
      : `${url} answered ${status} with ${kind}, which isn't the service's own answer.`,
    {
      requestId,
      advice: "Is it the right address? --url or ISHA_URL sets it; a login page may stand before it.",
    },
  );
}

/** Whether a failure is the service's word that there is no such thing. */
export function saysUnknown(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && error.detail.code === ("not_found" satisfies ErrorCode);
}
