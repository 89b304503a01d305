// `/v1/responses` and `/v1/messages` in chat's words, as llama-server converts them: which fields pass, which are
// dropped (README, "Slots can be owned from outside", "Caps"). Refuses what it refuses, in its texts.
import { invalid, serverError } from "./errors.ts";
import { isBody } from "./params.ts";
import type { Body } from "./params.ts";

/** `/v1/responses`: `max_output_tokens` is `max_tokens`; everything else passes, `text.format` without effect. */
export function fromResponses(body: Body): Body {
  if (!("input" in body)) throw invalid("'input' is required");
  const { input, instructions, max_output_tokens, tools, ...rest } = body;
  if (typeof rest["previous_response_id"] === "string" && rest["previous_response_id"] !== "") {
    throw invalid("llama.cpp does not support 'previous_response_id'.");
  }
  const messages: Body[] = [];
  if (typeof instructions === "string") messages.push({ role: "system", content: instructions });
  if (typeof input === "string") messages.push({ role: "user", content: input });
  else if (Array.isArray(input)) for (const item of input) addInputItem(messages, item);
  else throw invalid("'input' must be a string or array of objects");
  if (tools !== undefined && !Array.isArray(tools)) throw invalid("'tools' must be an array of objects");
  const functions = (tools ?? []).flatMap((tool: unknown) => {
    if (!isBody(tool) || tool["type"] !== "function") return [];
    const { type: _, ...described } = tool;
    return [{ type: "function", function: described }];
  });
  return {
    ...rest,
    ...(max_output_tokens === undefined ? {} : { max_tokens: max_output_tokens }),
    ...(functions.length > 0 ? { tools: functions } : {}),
    messages,
  };
}

/** `/v1/messages`: only these fields pass, neither `id_slot` nor `cache_prompt` nor `n_predict`. */
export function fromMessages(body: Body): Body {
  if (!("messages" in body)) throw serverError("'messages' is required");
  const { system, messages, stop_sequences, max_tokens = 4_096 } = body;
  const converted = Array.isArray(messages)
    ? messages.flatMap((message: unknown) => fromMessage(message))
    : messages;
  const first = system === undefined ? [] : [{ role: "system", content: system }];
  const passed: Body = {
    messages: Array.isArray(converted) ? [...first, ...converted] : converted,
    max_tokens,
  };
  for (const key of ["temperature", "top_p", "top_k", "stream"]) if (key in body) passed[key] = body[key];
  if (stop_sequences !== undefined) passed["stop"] = stop_sequences;
  if (Array.isArray(body["tools"])) passed["tools"] = body["tools"].map((tool: unknown) => fromTool(tool));
  const choice = isBody(body["tool_choice"]) ? body["tool_choice"]["type"] : undefined;
  if (choice === "auto") passed["tool_choice"] = "auto";
  if (choice === "any" || choice === "tool") passed["tool_choice"] = "required";
  return passed;
}

/** One item of `input`; calls of one answer are joined into its message. */
function addInputItem(messages: Body[], item: unknown): void {
  if (!isBody(item)) throw invalid("Cannot determine type of 'item'");
  const { type, role, content, call_id } = item;
  if (type === "function_call") {
    const call = {
      type: "function",
      id: call_id,
      function: { name: item["name"], arguments: item["arguments"] },
    };
    const before = messages.at(-1);
    if (before?.["role"] === "assistant") {
      before["tool_calls"] = [...(Array.isArray(before["tool_calls"]) ? before["tool_calls"] : []), call];
    } else messages.push({ role: "assistant", tool_calls: [call] });
  } else if (type === "function_call_output") {
    messages.push({ role: "tool", tool_call_id: call_id, content: fromParts(item["output"]) });
  } else if (type === "reasoning") {
    // The thoughts of an earlier answer: the templates of this program leave them out.
  } else if (typeof role === "string" && (typeof content === "string" || Array.isArray(content))) {
    messages.push({ role, content: fromParts(content) });
  } else throw invalid("Cannot determine type of 'item'");
}

function fromParts(content: unknown): unknown {
  if (!Array.isArray(content)) return content;
  return content.map((part: unknown) => {
    if (!isBody(part)) return part;
    const { type } = part;
    if (type === "input_text" || type === "output_text") return { ...part, type: "text" };
    if (type === "input_image") return { ...part, type: "image_url" };
    if (type === "input_file") throw invalid("'input_file' is not supported by llamacpp at this moment");
    throw invalid("'type' must be one of 'input_text', 'input_image', or 'input_file'");
  });
}

/** A message of blocks: its text, its calls, and one `tool` message for each result. */
function fromMessage(message: unknown): unknown[] {
  if (!isBody(message) || !Array.isArray(message["content"])) return [message];
  const blocks = message["content"].filter(isBody);
  const parts = blocks.flatMap((block) => {
    if (block["type"] === "text") return [block];
    return block["type"] === "image" ? [{ type: "image_url" }] : [];
  });
  const calls = blocks.filter(({ type }) => type === "tool_use").map(fromToolUse);
  const results = blocks.filter(({ type }) => type === "tool_result").map(fromToolResult);
  const said = parts.length > 0 || calls.length > 0 || blocks.some(({ type }) => type === "thinking");
  const own = {
    role: message["role"],
    content: parts.length > 0 ? parts : "",
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
  return said ? [own, ...results] : results;
}

const fromToolUse = ({ id, name, input }: Body): Body => ({
  id,
  type: "function",
  function: { name, arguments: JSON.stringify(input ?? {}) },
});

function fromToolResult({ tool_use_id, content }: Body): Body {
  const text = Array.isArray(content)
    ? content.map((part: unknown) => (isBody(part) ? textOf(part["text"]) : "")).join("")
    : textOf(content);
  return { role: "tool", tool_call_id: tool_use_id, content: text };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

function fromTool(tool: unknown): Body {
  const { name, description, input_schema } = isBody(tool) ? tool : {};
  return { type: "function", function: { name, description, parameters: input_schema ?? {} } };
}
