// The schemas of the call routes' bodies, from the schemas that validate them.
import type { Dialect } from "../../../shared/dialects.ts";
import type { Schema } from "./types.ts";

const BODIES: Partial<Readonly<Record<Dialect, Schema>>> = { chat: { type: "object" } };

export function bodyOf(dialect: Dialect): Schema | undefined {
  return BODIES[dialect];
}
