// Turns each dialect's body into a call: what is refused, and what is answered - tool calls, a JSON value that fits a
// schema, or text.
import { answer, bareAnswer, keyWords } from "./answer.ts";
import { fromMessages, fromResponses } from "./bodies.ts";
import { ChatDialect } from "./chat.ts";
import { CompletionsDialect } from "./completions.ts";
import type { Scene } from "./dialect.ts";
import { invalid, serverError } from "./errors.ts";
import type { Ask, Call } from "./generate.ts";
import type { Token } from "./generation.ts";
import { MessagesDialect } from "./messages.ts";
import { isBody, readParams } from "./params.ts";
import type { Body, Params } from "./params.ts";
import { ResponsesDialect } from "./responses.ts";
import { fitting, simulatorLimit, unknownType } from "./schema.ts";
import { called, script, spoken, thoughts } from "./script.ts";
import type { Sim } from "./sim.ts";
import { readMessages, render, TEMPLATES } from "./template.ts";
import { toolCalls, toolRequest } from "./tools.ts";

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
  const schema = schemaOf(sim, { json_schema: body["json_schema"], grammar: body["grammar"] });
  const asks = prompts.map((prompt): Ask => {
    if (schema !== undefined) {
      const value = fitting(schema, `${seedOf(sim, params)}\n${prompt}`, keyWords(prompt));
      return { prompt, echo: "", script: () => script(spoken(JSON.stringify(value), "content"), null) };
    }
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
export function renderedChat(sim: Sim, body: Body): ReturnType<typeof render> {
  const tools = sim.board.current.tools ? toolRequest(body) : null;
  const messages = readMessages(body);
  if (tools !== null) messages.unshift({ role: "tools", text: JSON.stringify(tools.tools) });
  return render(messages, sim.settings.chatTemplate);
}

function conversationCall(sim: Sim, body: Body, dialect: (scene: Scene) => Call["dialect"]): Call {
  const { alias, chatTemplate, parallel } = sim.settings;
  const tools = toolRequest(body);
  const rendered = renderedChat(sim, body);
  const { generationPrompt } = TEMPLATES[chatTemplate];
  const schema = schemaOf(sim, body);
  const params = readParams(body, parallel, { generationPrompt });
  const { current } = sim.board;
  const seed = seedOf(sim, params);
  const { conversation, question, prefix } = rendered;
  const fixed = (): Token[] | null => {
    const about = `${seed}\n${conversation}`;
    const answersTool = rendered.lastRole === "tool" && tools?.choice !== "required";
    if (tools !== null && current.tools && prefix === "" && !answersTool) {
      return called(toolCalls(tools, question, about));
    }
    if (schema === undefined) return null;
    return spoken(JSON.stringify(fitting(schema, about, keyWords(question))), "content");
  };
  const said = fixed();
  const thought = current.reasoning && prefix === "" ? thoughts(question) : [];
  const about = { ...rendered, alias, seed, endless: params.ignoreEos };
  const ask: Ask = {
    prompt: rendered.prompt,
    echo: prefix,
    script: () => script([...thought, ...(said ?? [])], said === null ? answer(about) : null),
  };
  const scene = sceneOf(sim, params, rendered.prompt);
  return { params, cachePrompt: cachePrompt(sim, params), asks: [ask], dialect: dialect(scene) };
}

/** The schema that an answer must fit; undefined for free text. Refuses in the recorded texts. */
function schemaOf(sim: Sim, body: Body): unknown {
  const format = isBody(body["response_format"]) ? body["response_format"] : {};
  const { type } = format;
  if (typeof type === "string" && !["", "text", "json_object", "json_schema"].includes(type)) {
    const allowed = 'must be one of "text" or "json_object"';
    throw invalid(`response_format type ${allowed}, but got: ${type}`);
  }
  if (body["json_schema"] != null && body["grammar"]) {
    throw serverError("Cannot use both json_schema and grammar");
  }
  let schema: unknown = body["json_schema"] ?? undefined;
  if (type === "json_object") schema = format["schema"] ?? schema ?? {};
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
  const bound = schema !== undefined || Boolean(body["grammar"]);
  if (bound && !sim.board.current.grammar) throw invalid("Failed to initialize samplers: std::exception");
  if (bound && schema === undefined) throw simulatorLimit("It can't follow a grammar in `grammar`.");
  return schema;
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
