// Sends calls to an agent like the edge does, and returns the answer's bytes.
import { createHmac } from "node:crypto";
import { request, type Agent, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { boxToken } from "../../../shared/box-token.ts";
import { encodeCall, TOKEN_HEADER, type Call } from "../../../shared/call-headers.ts";
import { DIALECTS } from "../../../shared/dialects.ts";
import type { ErrorBody } from "../../../shared/errors.ts";
import { BOX_SECRET, OTHER, REPLICA, testBox, WANTED } from "./box.ts";
import { until } from "../../support/until.ts";

export type Json = Record<string, unknown>;

export interface Question {
  /** The edge's description of the call, as far as it differs from `CALL`. */
  readonly call?: Partial<Call>;
  /** Fields of the body in addition to the messages, or the whole body. */
  readonly body?: Json | string | Buffer;
  /** Further headers; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly path?: string;
  readonly method?: string;
  /** The HTTP agent for the connection; by default a new connection. */
  readonly agent?: Agent;
  /** Leaves the answer unread until `read()`. */
  readonly readsOnDemand?: boolean;
}

/** The default call: not streamed, for a model with a replica and a fallback. */
const CALL: Call = {
  requestId: "req-1",
  dialect: "chat",
  format: "openai",
  wantedPort: WANTED,
  ports: [WANTED, REPLICA],
  fallbackPorts: [OTHER],
  stream: false,
  choices: 1,
  continuable: true,
  keyId: "key-1",
  scope: null,
  agentType: "Radiology",
  priority: "normal",
  concurrent: null,
  deadlineMs: 60_000,
  set: {},
};

/** The default call with some fields changed. */
export const callOf = (other: Partial<Call>): Call => ({ ...CALL, ...other });

export const TOKEN: string = await boxToken(
  (secret, text) => Promise.resolve(createHmac("sha256", secret).update(text).digest("hex")),
  BOX_SECRET,
  testBox().name,
  "edge-to-agent",
);

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** Whether the answer is complete; false if the connection broke. */
  readonly complete: boolean;
}

/** An answer on its way. */
export interface OpenCall {
  readonly answer: Promise<Answer>;
  /** The text so far. */
  readonly text: () => string;
  /** Waits until this text has arrived. */
  arrived(text: string | RegExp): Promise<void>;
  /** Disconnects, like a client that closes its window. */
  leave(): void;
  /** Starts to read the answer of a question with `readsOnDemand`. */
  read(): void;
}

/** The body of a question as it is sent. */
export function bodyOf(question: Question): Buffer {
  const { body = {} } = question;
  if (typeof body === "string" || Buffer.isBuffer(body)) return Buffer.from(body);
  const messages = [{ role: "user", content: "Patient complaint: chest pain" }];
  const stream = question.call?.stream === true ? { stream: true } : {};
  return Buffer.from(JSON.stringify({ messages, ...stream, ...body }));
}

/** The headers of a question as the edge would write them. */
export function headersOf(question: Question): Record<string, string> {
  const headers: Record<string, string | undefined> = {
    ...encodeCall({ ...CALL, ...question.call }),
    [TOKEN_HEADER]: TOKEN,
    "content-type": "application/json",
    "content-length": String(bodyOf(question).length),
    ...question.headers,
  };
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value == null ? [] : [[name, value]])),
  );
}

/** Sends a question; the caller awaits `answer`. */
export function ask(port: number, question: Question = {}): OpenCall {
  const chunks: Buffer[] = [];
  const reading = new AbortController();
  if (question.readsOnDemand !== true) reading.abort();
  const sent = request({
    host: "127.0.0.1",
    port,
    method: question.method ?? "POST",
    path: question.path ?? DIALECTS.chat.path,
    headers: headersOf(question),
    agent: question.agent ?? false,
  });
  const answer = new Promise<Answer>((resolve, reject) => {
    sent.once("error", reject);
    sent.once("response", (response: IncomingMessage) => {
      const read = (): void => void response.on("data", (chunk: Buffer) => chunks.push(chunk));
      if (reading.signal.aborted) read();
      else reading.signal.addEventListener("abort", read);
      response.once("error", () => undefined);
      response.once("close", () => {
        const bytes = Buffer.concat(chunks);
        const { statusCode = 0, headers, complete } = response;
        resolve({ status: statusCode, headers, bytes, text: bytes.toString("utf8"), complete: complete });
      });
    });
  });
  // A client's own disconnect is an error here; it matters only to tests that await the answer.
  answer.catch(() => undefined);
  sent.end(question.method === "GET" ? undefined : bodyOf(question));
  const text = (): string => Buffer.concat(chunks).toString("utf8");
  return {
    answer,
    text,
    arrived: async (wanted) => {
      await until(() => (typeof wanted === "string" ? text().includes(wanted) : wanted.test(text())));
    },
    leave: () => void sent.destroy(),
    read: () => reading.abort(),
  };
}

/** Sends a question and waits for its answer. */
export const answered = (port: number, question: Question = {}): Promise<Answer> =>
  ask(port, question).answer;

/** After this many calls the agent's estimate follows the new duration. */
const SHORT_CALLS = 20;

/** Sends short calls one after another, so that the agent refuses no call for a long expected wait. */
export async function serveShortCalls(port: number, call: Partial<Call>): Promise<void> {
  for (let at = 0; at < SHORT_CALLS; at += 1) {
    const { status } = await answered(port, { call, body: { max_tokens: 1 } });
    if (status !== 200) throw new Error(`a short call was answered with ${status}`);
  }
}

/** The answer's JSON. */
export const jsonOf = (answer: Answer): Json => JSON.parse(answer.text) as Json;

/** The answer's error, or the error in its last event. */
export function errorOf(answer: Answer): ErrorBody["error"] {
  const text =
    answer.headers["content-type"] === "text/event-stream" ? (dataOf(answer).at(-1) ?? "") : answer.text;
  return (JSON.parse(text) as ErrorBody).error;
}

/** The data of every event of a streamed answer. Throws if anything but complete events arrived. */
export function dataOf(answer: Answer): string[] {
  const parts = answer.text.split("\n\n");
  const rest = parts.pop();
  if (rest !== "") throw new Error(`the stream ends in the middle of an event: ${JSON.stringify(rest)}`);
  return parts
    .filter((part) => !part.startsWith(":"))
    .map((part) => {
      if (!part.startsWith("data: ") || part.includes("\n")) throw new Error(`no event of ours: ${part}`);
      return part.slice("data: ".length);
    });
}

/** The events of a streamed answer that are JSON. */
export const eventsOf = (answer: Answer): Json[] =>
  dataOf(answer)
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data) as Json);

/** The whole text of a streamed answer in OpenAI's format. */
export function deltasOf(answer: Answer): string {
  const choices = eventsOf(answer).flatMap(
    (event) => (event["choices"] ?? []) as { delta: { content?: string } }[],
  );
  return choices.map(({ delta }) => delta.content ?? "").join("");
}
