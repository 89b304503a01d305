// A fake chat route for the console: a stream in either format, or a refusal.
import type { ServerResponse } from "node:http";
import { ERRORS, errorBody } from "../../../shared/errors.ts";

interface ChatBody {
  readonly agent_type?: string;
  readonly model_port?: number;
  readonly model?: string;
  readonly stream?: boolean;
  readonly max_tokens: number;
  readonly messages: readonly { readonly content: string }[];
}

const TOKENS =
  "Chest pain that comes with effort and goes with rest wants an ECG the same day — señor, ça va.".split(" ");

/** Prompts that trigger a fault. */
export const PROMPTS = {
  broken: "break off",
  endless: "never end",
  full: "be full",
  fallback: "fall back",
} as const;

const TOKEN_MS = 15;

export function answerChat(body: unknown, response: ServerResponse): void {
  const request = body as ChatBody;
  const prompt = request.messages.at(-1)?.content ?? "";
  if (prompt === PROMPTS.full) return refuse(response);
  const port = request.model_port ?? 8085;
  const headers = {
    "x-isha-box": "box1",
    "x-isha-port": String(port),
    "x-isha-model": "BiMediX2-8B-hf.i1-Q6_K.gguf",
    "x-isha-queue-ms": "12",
    ...(prompt === PROMPTS.fallback ? { "x-isha-fallback-from": "8084" } : {}),
  };
  const usage = { prompt_tokens: 9, completion_tokens: TOKENS.length, total_tokens: 9 + TOKENS.length };
  const isha = { port, box: "box1", queue_ms: 12, fallback_from: prompt === PROMPTS.fallback ? 8084 : null };
  if (request.stream !== true) {
    const text = TOKENS.join(" ");
    const choices = [
      { index: 0, text, message: { role: "assistant", content: text }, finish_reason: "stop" },
    ];
    response.writeHead(200, { ...headers, "content-type": "application/json" });
    response.end(JSON.stringify({ choices, usage, isha }));
    return;
  }
  response.writeHead(200, { ...headers, "content-type": "text/event-stream" });
  const event = (value: object): boolean => response.write(`data: ${JSON.stringify(value)}\n\n`);
  const openai = request.model !== undefined;
  let sent = 0;
  const timer = setInterval(() => {
    const text = `${sent === 0 ? "" : " "}${TOKENS[sent % TOKENS.length] ?? ""}`;
    const delta = { content: text };
    event({
      choices: [
        openai ? { index: 0, delta, finish_reason: null } : { index: 0, delta, text, finish_reason: null },
      ],
    });
    sent += 1;
    if (prompt === PROMPTS.broken && sent === 5) {
      event(
        errorBody(
          { code: "upstream_failed", message: "The llama-server broke the connection. Try again." },
          "req_broken",
        ),
      );
      response.end();
    } else if (prompt !== PROMPTS.endless && sent === TOKENS.length) {
      event({
        choices: [{ index: 0, delta: {}, text: "", finish_reason: "stop" }],
        usage,
        ...(openai ? {} : { isha }),
      });
      response.end("data: [DONE]\n\n");
    }
  }, TOKEN_MS);
  response.on("close", () => clearInterval(timer));
}

function refuse(response: ServerResponse): void {
  const message = "Every queue is full. Try again in 8 s.";
  response.writeHead(ERRORS.overloaded.status, {
    "content-type": "application/json",
    "retry-after-ms": "8000",
  });
  response.end(JSON.stringify(errorBody({ code: "overloaded", message }, "req_full")));
}
