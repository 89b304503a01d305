// The schemas of the call routes' bodies, from those that validate them, with the meaning of each field.
import type { Dialect } from "../../../shared/dialects.ts";
import { BODIES } from "../../../worker/inference/bodies/table.ts";
import { FIELD_NOTES } from "./field-notes.ts";
import { inputSchema } from "./input-schema.ts";
import type { Schema } from "./types.ts";

/** Fields that mean something else in one dialect. */
const OWN_NOTES: Partial<Record<Dialect, Readonly<Record<string, string>>>> = {
  messages: { max_tokens: "The most tokens of the answer, up to the model's limit." },
  completions: { logprobs: "How many alternatives with their probabilities the answer has for each token." },
};

export function bodyOf(dialect: Dialect): Schema {
  const schema = inputSchema(BODIES[dialect].schema);
  const properties = Object.entries((schema["properties"] ?? {}) as Readonly<Record<string, Schema>>);
  return {
    ...schema,
    properties: Object.fromEntries(
      properties.map(([name, property]) => [
        name,
        { ...property, description: OWN_NOTES[dialect]?.[name] ?? FIELD_NOTES[name] },
      ]),
    ),
  };
}
