// The order of what a generation says: thoughts first if the switches request them, then a tool call, a
// JSON value that fits a schema, or the answer.
import type { Answer } from "./answer.ts";
import { keyWords } from "./answer.ts";
import type { Token } from "./generation.ts";
import { isBody } from "./params.ts";
import { pieces } from "./tokens.ts";

export interface Script {
  next(): Token | null;
}

/** Tokens of a fixed text on one channel. */
export function spoken(text: string, channel: Token["channel"]): Token[] {
  return pieces(text).map((piece) => ({ text: piece, channel }));
}

/** Fixed tokens first, then the answer, if there is one. */
export function script(opening: readonly Token[], answer: Answer | null): Script {
  let at = 0;
  return {
    next: () => {
      const token = opening[at++];
      if (token) return token;
      const text = answer?.next() ?? null;
      return text === null ? null : { text, channel: "content" };
    },
  };
}

export const thoughts = (question: string): Token[] =>
  spoken(`The user asks about ${keyWords(question)}. A short – simulated – answer will do.`, "reasoning");

/** A call of the first tool there is, with arguments that fit its schema. */
export function toolCall(tools: readonly unknown[]): Token[] {
  const tool = tools.find((candidate) => isBody(candidate) && isBody(candidate["function"]));
  const described = isBody(tool) && isBody(tool["function"]) ? tool["function"] : {};
  const name = typeof described["name"] === "string" ? described["name"] : "tool";
  const value = JSON.stringify(example(described["parameters"]));
  return [{ text: name, channel: "toolName" }, ...spoken(value, "toolArguments")];
}

/** The smallest value a schema allows, as far as its common words are concerned. */
export function example(schema: unknown): unknown {
  if (!isBody(schema)) return {};
  if ("const" in schema) return schema["const"];
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  const type: unknown = Array.isArray(schema["type"]) ? schema["type"][0] : schema["type"];
  if (type === "string") return "simulated";
  if (type === "integer" || type === "number") return schema["minimum"] ?? 1;
  if (type === "boolean") return true;
  if (type === "null") return null;
  if (type === "array") return [example(schema["items"])];
  const properties = isBody(schema["properties"]) ? schema["properties"] : {};
  return Object.fromEntries(Object.entries(properties).map(([name, of]) => [name, example(of)]));
}

const TYPES = new Set(["string", "number", "integer", "boolean", "null", "object", "array"]);

/** The first unknown type in a schema and its path; null for a valid schema. */
export function unknownType(schema: unknown, path = "#"): { path: string; type: string } | null {
  if (!isBody(schema)) return null;
  const { type } = schema;
  for (const name of Array.isArray(type) ? type : [type]) {
    if (typeof name === "string" && !TYPES.has(name)) return { path, type: name };
  }
  const properties = isBody(schema["properties"]) ? schema["properties"] : {};
  for (const [name, of] of Object.entries(properties)) {
    const found = unknownType(of, `${path}/properties/${name}`);
    if (found) return found;
  }
  return "items" in schema ? unknownType(schema["items"], `${path}/items`) : null;
}
