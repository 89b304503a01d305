// Turns each dialect's body into a call: required fields, fields that are passed on, fields that are dropped
// (README, "Slots can be owned from outside", "Caps").
import { answer, bareAnswer } from "./answer.ts";
import { ChatDialect } from "./chat.ts";
import { CompletionsDialect } from "./completions.ts";
import type { Scene } from "./dialect.ts";
import { invalid, serverError } from "./errors.ts";
import type { Ask, Call } from "./generate.ts";
import { MessagesDialect } from "./messages.ts";
import { isBody, readParams } from "./params.ts";
import type { Body, Params } from "./params.ts";
import { ResponsesDialect } from "./responses.ts";
import { example, script, spoken, thoughts, toolCall, unknownType } from "./script.ts";
import type { Sim } from "./sim.ts";
import { readMessages, render, TEMPLATES } from "./template.ts";

export function chatCall(sim: Sim, body: Body): Call {
  return conversationCall(sim, body, (scene) => new ChatDialect(scene));
}

export function responsesCall(sim: Sim, body: Body): Call {
  return conversationCall(sim, fromResponses(body), (scene) => new ResponsesDialect(scene));
}

export function messagesCall(sim: Sim, body: Body): Call {
  return conversationCall(sim, fromMessages(body), (scene) => new MessagesDialect(scene));
}

/** Transcripts "completions", "completions-prompt-list". */
export function completionsCall(sim: Sim, body: Body): Call {
  if (!("prompt" in body)) throw serverError("[json.exception.out_of_range.403] key 'prompt' not found");
  const prompts = readPrompts(sim, body["prompt"]);
  const params = readParams(body, sim.settings.parallel, null);
  const asks = prompts.map((prompt): Ask => {
    const about = { alias: sim.settings.alias, conversation: prompt, seed: seedOf(sim, params) };
    return {
      prompt,
      echo: "",
      script: () => script([], bareAnswer({ ...about, endless: params.ignoreEos })),
    };
  });
  const scene = sceneOf(sim, params, prompts[0] ?? "");
  return { params, cachePrompt: cachePrompt(sim, params), asks, dialect: new CompletionsDialect(scene) };
}

/** The prompt a conversation becomes; also `/apply-template` and the token counts. */
export const renderedChat = (sim: Sim, body: Body): ReturnType<typeof render> =>
  render(readMessages(body), sim.settings.chatTemplate);

/** `/v1/responses` in chat's words: `max_output_tokens` is `max_tokens`; everything else passes. */
export function fromResponses(body: Body): Body {
  if (!("input" in body)) throw invalid("'input' is required");
  const { input, instructions, max_output_tokens, tools, ...rest } = body;
  const messages: unknown[] = [];
  if (typeof instructions === "string") messages.push({ role: "system", content: instructions });
  if (typeof input === "string") messages.push({ role: "user", content: input });
  else if (Array.isArray(input)) messages.push(...input.map((item: unknown) => fromInputItem(item)));
  else throw invalid("'input' must be a string or array of objects");
  const caps = max_output_tokens === undefined ? {} : { max_tokens: max_output_tokens };
  const wrapped = Array.isArray(tools) ? { tools: tools.map((tool: unknown) => ({ function: tool })) } : {};
  return { ...rest, ...caps, ...wrapped, messages };
}

/** `/v1/messages` in chat's words: only these fields pass, neither `id_slot` nor `cache_prompt` nor `n_predict`. */
export function fromMessages(body: Body): Body {
  if (!("messages" in body)) throw serverError("'messages' is required");
  const { system, messages, stop_sequences, max_tokens = 4_096 } = body;
  const spoken = Array.isArray(messages) ? messages.map((message: unknown) => fromBlocks(message)) : messages;
  const first = system === undefined ? [] : [{ role: "system", content: system }];
  const passed: Body = { messages: Array.isArray(spoken) ? [...first, ...spoken] : spoken, max_tokens };
  for (const key of ["temperature", "top_p", "top_k", "stream"]) if (key in body) passed[key] = body[key];
  if (stop_sequences !== undefined) passed["stop"] = stop_sequences;
  if (Array.isArray(body["tools"])) {
    passed["tools"] = body["tools"].map((tool: unknown) => ({ function: fromTool(tool) }));
  }
  return passed;
}

function conversationCall(sim: Sim, body: Body, dialect: (scene: Scene) => Call["dialect"]): Call {
  const rendered = renderedChat(sim, body);
  const schema = schemaOf(body);
  const generationPrompt = TEMPLATES[sim.settings.chatTemplate].generationPrompt;
  const params = readParams(body, sim.settings.parallel, { generationPrompt });
  const { current } = sim.board;
  if (schema !== undefined && !current.grammar) {
    throw invalid("Failed to initialize samplers: std::exception");
  }
  const tools = Array.isArray(body["tools"]) && body["tool_choice"] !== "none" ? body["tools"] : [];
  const opening = () => {
    const first = current.reasoning && rendered.prefix === "" ? thoughts(rendered.question) : [];
    if (schema !== undefined) return [...first, ...spoken(JSON.stringify(example(schema)), "content")];
    return current.toolCall && tools.length > 0 ? [...first, ...toolCall(tools)] : first;
  };
  const closed = schema !== undefined || (current.toolCall && tools.length > 0);
  const { alias } = sim.settings;
  const about = { ...rendered, alias, seed: seedOf(sim, params), endless: params.ignoreEos };
  const ask: Ask = {
    prompt: rendered.prompt,
    echo: rendered.prefix,
    script: () => script(opening(), closed ? null : answer(about)),
  };
  const scene = sceneOf(sim, params, rendered.prompt);
  return { params, cachePrompt: cachePrompt(sim, params), asks: [ask], dialect: dialect(scene) };
}

/** The schema a body asks for; refused with the recorded text if it names an unknown type. */
function schemaOf(body: Body): unknown {
  const format = isBody(body["response_format"]) ? body["response_format"] : {};
  const { type } = format;
  if (typeof type === "string" && !["", "text", "json_object", "json_schema"].includes(type)) {
    const allowed = 'must be one of "text" or "json_object"';
    throw invalid(`response_format type ${allowed}, but got: ${type}`);
  }
  let schema: unknown = body["json_schema"] ?? (body["grammar"] ? {} : undefined);
  if (type === "json_object") schema = format["schema"] ?? {};
  if (type === "json_schema") {
    schema = isBody(format["json_schema"]) ? (format["json_schema"]["schema"] ?? {}) : {};
  }
  const wrong = unknownType(schema);
  if (wrong) {
    const where = `JSON schema error at ${wrong.path}: unrecognized type ${wrong.type}`;
    throw invalid(
      `Unable to generate parser for this template. Automatic parser generation failed: ${where}`,
    );
  }
  return schema ?? undefined;
}

function readPrompts(sim: Sim, prompt: unknown): string[] {
  const words = (tokens: unknown[]): string => tokens.map((id) => sim.vocabulary.text(Number(id))).join("");
  if (typeof prompt === "string") return [prompt];
  if (Array.isArray(prompt) && prompt.length > 0) {
    if (prompt.every((item) => typeof item === "number")) return [words(prompt)];
    return prompt.map((item: unknown) => (Array.isArray(item) ? words(item) : String(item)));
  }
  throw invalid(
    '"prompt" must be a string, an list of tokens, a list of mixed strings & tokens, or a list of prompts',
  );
}

function fromInputItem(item: unknown): unknown {
  if (!isBody(item)) throw invalid("Cannot determine type of 'item'");
  const { content } = item;
  if (!Array.isArray(content)) return item;
  return { ...item, content: content.map((part: unknown) => (isBody(part) ? fromInputPart(part) : part)) };
}

function fromInputPart(part: Body): Body {
  const { type } = part;
  if (type === "input_text" || type === "output_text") return { ...part, type: "text" };
  return type === "input_image" ? { ...part, type: "image_url" } : part;
}

function fromBlocks(message: unknown): unknown {
  if (!isBody(message) || !Array.isArray(message["content"])) return message;
  const parts = message["content"].map((block: unknown) => {
    if (!isBody(block)) return block;
    if (block["type"] === "image") return { type: "image_url" };
    return block["type"] === "text" ? block : { type: "text", text: JSON.stringify(block) };
  });
  return { ...message, content: parts };
}

const fromTool = (tool: unknown): Body =>
  isBody(tool) ? { name: tool["name"], parameters: tool["input_schema"] } : {};

const seedOf = (sim: Sim, params: Params): number =>
  params.values["seed"] === 4_294_967_295 ? sim.board.current.seed : sim.board.current.seed + params.seed;

const cachePrompt = (sim: Sim, params: Params): boolean =>
  params.cachePrompt ?? sim.board.current.cachePrompt ?? sim.settings.cachePrompt;

const sceneOf = (sim: Sim, params: Params, promptText: string): Scene => ({
  alias: sim.settings.alias,
  params,
  vocabulary: sim.vocabulary,
  promptText,
});
