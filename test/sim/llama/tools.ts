// A call of one of the tools that a request offers: which, and with which arguments. Refuses what llama-server
// refuses of `tool_choice`. Must not know of dialects: every body arrives in chat's words.
import { keyWords } from "./answer.ts";
import { invalid } from "./errors.ts";
import { isBody } from "./params.ts";
import type { Body } from "./params.ts";
import { fitting } from "./schema.ts";

/** Calls in one answer at most, if the request allows several. */
const MOST_CALLS = 2;

export interface ToolCall {
  name: string;
  /** JSON. */
  arguments: string;
}

export interface ToolRequest {
  tools: Body[];
  choice: "auto" | "required";
  /** The tool that the request names. llama-server reads that as `auto`; a sensible model calls it. */
  named: string | null;
  parallel: boolean;
}

/** The tools that a body offers; null if the answer may not call any. */
export function toolRequest(body: Body): ToolRequest | null {
  const choice = body["tool_choice"];
  if (typeof choice === "string" && !["auto", "none", "required"].includes(choice)) {
    throw invalid(`Invalid tool_choice: ${choice}`);
  }
  const offered: unknown[] = Array.isArray(body["tools"]) ? body["tools"] : [];
  const tools = offered.flatMap((tool) =>
    isBody(tool) && isBody(tool["function"]) ? [tool["function"]] : [],
  );
  if (tools.length === 0 || choice === "none") return null;
  if ("grammar" in body) throw invalid("Cannot use custom grammar constraints with tools.");
  const named = isBody(choice) && isBody(choice["function"]) ? choice["function"]["name"] : null;
  return {
    tools,
    choice: choice === "required" ? "required" : "auto",
    named: typeof named === "string" ? named : null,
    parallel: body["parallel_tool_calls"] === true,
  };
}

/** One call, or two of different tools if several may come at once. */
export function toolCalls(request: ToolRequest, question: string, about: string): ToolCall[] {
  const topic = keyWords(question);
  const words = new Set(question.toLowerCase().match(/\p{L}{4,}/gu));
  const fits = (tool: Body): number => {
    if (request.named !== null && tool["name"] === request.named) return Infinity;
    const described = [tool["name"], tool["description"]].join(" ").toLowerCase();
    return (described.match(/\p{L}{4,}/gu) ?? []).filter((word) => words.has(word)).length;
  };
  const ranked = request.tools.toSorted((a, b) => compare(fits(b), fits(a)));
  return ranked.slice(0, request.parallel ? MOST_CALLS : 1).map((tool) => {
    const name = typeof tool["name"] === "string" ? tool["name"] : "tool";
    const parameters = tool["parameters"] ?? { type: "object", properties: {} };
    return { name, arguments: JSON.stringify(fitting(parameters, `${about}\n${name}`, topic)) };
  });
}

/** Infinity less itself is no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a - b);
