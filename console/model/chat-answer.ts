// The playground's answer while it streams: text, route and times. Pure functions add each event, in either format.
import * as z from "zod";
import type { StreamEvent } from "../api/sse.ts";
import { errorIn, pageProblem, UNREADABLE, type Problem } from "./problem.ts";

export interface Route {
  readonly box: string | null;
  readonly port: string | null;
  readonly model: string | null;
  readonly fallbackFrom: string | null;
  readonly queueMs: number | null;
  readonly simulated: boolean;
}

export interface ChatAnswer {
  /** `stopped`: by the operator. `broken`: it ended with an error or without `[DONE]`. */
  readonly state: "waiting" | "answering" | "done" | "stopped" | "broken";
  readonly text: string;
  readonly route: Route;
  readonly requestId: string | null;
  readonly firstTokenMs: number | null;
  readonly totalMs: number | null;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly finishReason: string | null;
  readonly problem: Problem | null;
}

const NO_ROUTE: Route = {
  box: null,
  port: null,
  model: null,
  fallbackFrom: null,
  queueMs: null,
  simulated: false,
};

export const WAITING: ChatAnswer = {
  state: "waiting",
  text: "",
  route: NO_ROUTE,
  requestId: null,
  firstTokenMs: null,
  totalMs: null,
  promptTokens: null,
  completionTokens: null,
  finishReason: null,
  problem: null,
};

const Chunk = z.object({
  model: z.string().nullish(),
  choices: z
    .array(
      z.object({
        text: z.string().nullish(),
        delta: z.object({ content: z.string().nullish() }).nullish(),
        message: z.object({ content: z.string().nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
  isha: z
    .object({
      port: z.number(),
      box: z.string(),
      queue_ms: z.number().nullable(),
      fallback_from: z.union([z.number(), z.string()]).nullable(),
    })
    .nullish(),
});

/** Adds the headers; a stream that waits for its slot has only a few. */
export function withHeaders(answer: ChatAnswer, headers: Headers): ChatAnswer {
  const queueMs = headers.get("x-isha-queue-ms");
  return {
    ...answer,
    requestId: headers.get("x-request-id"),
    route: {
      box: headers.get("x-isha-box"),
      port: headers.get("x-isha-port"),
      model: headers.get("x-isha-model"),
      fallbackFrom: headers.get("x-isha-fallback-from"),
      queueMs: queueMs === null ? null : Number(queueMs),
      simulated: headers.get("x-isha-simulated") !== null,
    },
  };
}

/** @param atMs time since the request was sent. */
export function withEvent(answer: ChatAnswer, { data }: StreamEvent, atMs: number): ChatAnswer {
  if (data === "[DONE]") return { ...answer, state: "done", totalMs: atMs };
  return withChunk(answer, jsonOrNull(data), atMs);
}

/** Adds one object: an event of a stream, or a complete answer. */
export function withChunk(answer: ChatAnswer, body: unknown, atMs: number): ChatAnswer {
  const problem = errorIn(body);
  if (problem !== null) return broken(answer, problem, atMs);
  const parsed = Chunk.safeParse(body);
  if (!parsed.success) return broken(answer, UNREADABLE, atMs);
  const { choices, usage, isha, model } = parsed.data;
  const [choice] = choices;
  const text = choice?.text ?? choice?.delta?.content ?? choice?.message?.content ?? "";
  return {
    ...answer,
    state: "answering",
    text: answer.text + text,
    route: {
      ...answer.route,
      model: answer.route.model ?? model ?? null,
      ...(isha === null || isha === undefined
        ? {}
        : {
            box: isha.box,
            port: String(isha.port),
            queueMs: isha.queue_ms,
            fallbackFrom:
              isha.fallback_from === null ? answer.route.fallbackFrom : String(isha.fallback_from),
          }),
    },
    firstTokenMs: answer.firstTokenMs ?? (text === "" ? null : atMs),
    promptTokens: usage?.prompt_tokens ?? answer.promptTokens,
    completionTokens: usage?.completion_tokens ?? answer.completionTokens,
    finishReason: choice?.finish_reason ?? answer.finishReason,
  };
}

export function broken(answer: ChatAnswer, problem: Problem, atMs: number): ChatAnswer {
  const requestId = answer.requestId ?? problem.requestId;
  return { ...answer, state: "broken", problem, requestId, totalMs: atMs };
}

/** Ends a stream: without `[DONE]` it is incomplete. */
export function ended(answer: ChatAnswer, atMs: number): ChatAnswer {
  if (answer.state !== "waiting" && answer.state !== "answering") return answer;
  return broken(answer, INCOMPLETE, atMs);
}

const INCOMPLETE = pageProblem("cut", "The stream ended early: this answer is incomplete.");

/** Tokens per second after the first token; null if too little is known. */
export function tokenRate({ completionTokens, firstTokenMs, totalMs }: ChatAnswer): number | null {
  if (completionTokens === null || firstTokenMs === null || totalMs === null) return null;
  const seconds = (totalMs - firstTokenMs) / 1000;
  return completionTokens < 2 || seconds <= 0 ? null : (completionTokens - 1) / seconds;
}

/** Explains a refusal to the operator whose key was refused. */
export function playgroundText(problem: Problem): string {
  return problem.code === "scope_missing"
    ? "The key you signed in with can manage the fleet but not call its models: it lacks the scope “infer”. Add the scope under Keys, or sign in with a key that has both."
    : problem.message;
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
