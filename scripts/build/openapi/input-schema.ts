// Turns a schema that validates input into JSON Schema.
import * as z from "zod";
import type { Schema } from "./types.ts";

/** What a client may send: before defaults and conversions. */
export function inputSchema(schema: z.core.$ZodType): Schema {
  const { $schema: _, $ref, $defs, ...rest } = z.toJSONSchema(schema, { io: "input", override: simplify });
  // A schema with an id is its own only definition.
  const name = $ref?.replace("#/$defs/", "");
  const inlined: Schema | undefined = name === undefined ? rest : $defs?.[name];
  if (inlined === undefined) throw new Error(`the schema ${name} isn't among its definitions`);
  return inlined;
}

/** Without ids, and without patterns that have Unicode classes: JSON Schema's have no `u` flag. */
function simplify({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.pattern?.includes(String.raw`\p{`) === true) delete jsonSchema.pattern;
  delete jsonSchema["id"];
}
