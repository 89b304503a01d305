// From a conversation to a prompt: the checks llama-server makes on `messages`, and the two templates of the
// recordings (transcript "props": the model's own; transcript "apply-template": chatml).
import { invalid, serverError } from "./errors.ts";
import { isBody } from "./params.ts";
import type { Body } from "./params.ts";

export interface Message {
  role: string;
  text: string;
}

/** A conversation as the model gets it. */
export interface Rendered {
  /** The whole prompt, continued message included. */
  prompt: string;
  /** Everything but the continued message: what an answer may depend on. */
  conversation: string;
  question: string;
  /** The trailing assistant message, which is continued and echoed; "" without one. */
  prefix: string;
  /** Who spoke last, a continued message aside. */
  lastRole: string;
}

interface Template {
  source: string;
  message(message: Message): string;
  generationPrompt: string;
}

export const TEMPLATES: Record<"roles" | "chatml", Template> = {
  roles: {
    source:
      "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}" +
      "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    message: ({ role, text }) => `<|${role}|>\n${text}</s>\n`,
    generationPrompt: "<|assistant|>\n",
  },
  chatml: {
    source:
      "{%- for message in messages -%}\n  {{- '<|im_start|>' + message.role + '\n' + message.content + " +
      "'<|im_end|>\n' -}}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n  {{- '<|im_start|>assistant\n' -}}" +
      "\n{%- endif -%}",
    message: ({ role, text }) => `<|im_start|>${role}\n${text}<|im_end|>\n`,
    generationPrompt: "<|im_start|>assistant\n",
  },
};

/** Checks and reads `messages` (transcripts "error-no-messages", "error-messages-type", "error-role", "error-image"). */
export function readMessages(body: Body): Message[] {
  if (!("messages" in body)) throw invalid("'messages' is required");
  const messages = body["messages"];
  if (!Array.isArray(messages)) throw invalid("Expected 'messages' to be an array");
  return messages.map((message: unknown) => readMessage(isBody(message) ? message : {}));
}

/** Applies a template. A trailing assistant message is left open; two of them are refused. */
export function render(messages: readonly Message[], name: "roles" | "chatml"): Rendered {
  const template = TEMPLATES[name];
  const last = messages.at(-1);
  const continued = last?.role === "assistant" ? last : null;
  const asked = continued ? messages.slice(0, -1) : messages;
  if (continued && asked.at(-1)?.role === "assistant") {
    throw invalid("Cannot have 2 or more assistant messages at the end of the list.");
  }
  const conversation = asked.map((message) => template.message(message)).join("") + template.generationPrompt;
  const prefix = continued?.text ?? "";
  const question = asked.findLast((message) => message.role === "user")?.text ?? asked.at(-1)?.text ?? "";
  const lastRole = asked.at(-1)?.role ?? "";
  return { prompt: conversation + prefix, conversation, question, prefix, lastRole };
}

function readMessage(message: Body): Message {
  const role = typeof message["role"] === "string" ? message["role"] : "";
  if (!("content" in message)) {
    if (role !== "assistant") throw invalid("All non-assistant messages must contain 'content'");
    if (!("tool_calls" in message)) {
      throw invalid("Assistant message must contain either 'content' or 'tool_calls'!");
    }
  }
  return { role, text: readContent(message["content"]) + readCalls(message["tool_calls"]) };
}

/** The tool calls of an earlier answer, as a template shows them. */
function readCalls(calls: unknown): string {
  if (!Array.isArray(calls)) return "";
  return calls.map((call: unknown) => (isBody(call) ? JSON.stringify(call["function"]) : "")).join("\n");
}

function readContent(content: unknown): string {
  if (content == null) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw invalid("Expected 'content' to be a string or an array");
  return content.map((part: unknown) => readPart(isBody(part) ? part : {})).join("\n");
}

function readPart(part: Body): string {
  const type = part["type"];
  if (type === "text") return typeof part["text"] === "string" ? part["text"] : "";
  if (type === "image_url") throw noMedia("image");
  if (type === "input_audio") throw noMedia("audio");
  throw invalid("unsupported content[].type");
}

const noMedia = (kind: string): Error =>
  serverError(
    `${kind} input is not supported - hint: if this is unexpected, you may need to provide the mmproj`,
  );
