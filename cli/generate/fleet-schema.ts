// Writes the JSON schema of the fleet file, for editors and other tools. Pure.
import * as z from "zod";
import { FleetSchema } from "../../shared/fleet.ts";

/** What an operator writes: fields with a default may be absent. */
export function fleetSchemaText(): string {
  const schema = z.toJSONSchema(FleetSchema, { io: "input" });
  return `${JSON.stringify({ title: "Fleet file of isha", ...schema }, null, 2)}\n`;
}
