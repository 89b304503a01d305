// Sends the requests of `isha smoke` as a client does, and compares what comes back. It prints nothing.
import { objectOf } from "../json-object.ts";

export interface Service {
  readonly url: string;
  readonly key: string;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Null if the body isn't JSON. */
  readonly json: Readonly<Record<string, unknown>> | null;
}

export interface Sent {
  readonly method?: string;
  /** Sent as JSON; a string as it is. */
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Without the key. */
  readonly anonymous?: true;
}

/** A model call may wait for a slot, and a stream for its last token. */
const TIMEOUT_MS = 90_000;

/** @throws as fetch does */
export async function send({ url, key, signal }: Service, path: string, sent: Sent = {}): Promise<Answer> {
  const { method = sent.body === undefined ? "GET" : "POST", body, headers = {}, anonymous } = sent;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(anonymous ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    redirect: "manual",
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: objectOf(text) };
}

/** What was wrong with an answer, without a part of it that could be a model's words. */
export class Unexpected extends Error {}

/** @throws Unexpected with the status and the service's error code */
export function expectStatus({ status, json }: Answer, wanted: number): void {
  if (status === wanted) return;
  const error = member(json, "error");
  const code = error["code"] ?? error["type"];
  throw new Unexpected(
    `answered ${status}${typeof code === "string" ? ` ${code}` : ""} instead of ${wanted}`,
  );
}

/** @throws Unexpected unless a member of the answer is as wanted; `path` such as `isha.agent_type` */
export function expectMember({ json }: Answer, path: string, wanted: unknown): void {
  const found = memberAt(json, path);
  if (found !== wanted) throw new Unexpected(`${path} is not ${JSON.stringify(wanted)}`);
}

/** @throws Unexpected unless a member of the answer is a positive number */
export function expectCount({ json }: Answer, path: string): void {
  const found = memberAt(json, path);
  if (typeof found !== "number" || found < 1) throw new Unexpected(`${path} is no count`);
}

/** @throws Unexpected unless the header is there */
export function expectHeader({ headers }: Answer, name: string): void {
  if ((headers.get(name) ?? "") === "") throw new Unexpected(`the header ${name} is missing`);
}

export function member(value: unknown, name: string): Readonly<Record<string, unknown>> {
  const found = memberAt(value, name);
  return typeof found === "object" && found !== null ? { ...found } : {};
}

export function memberAt(value: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (at, name) =>
        typeof at === "object" && at !== null ? (at as Readonly<Record<string, unknown>>)[name] : undefined,
      value,
    );
}
