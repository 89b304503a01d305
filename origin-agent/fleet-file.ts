// Reads and checks the fleet file at the agent's start, and keeps a copy of the last valid one: an agent that is restarted
// with an invalid file goes on with that copy and reports the fault. The copy is only ever written by a start that worked.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineFleet, type FleetConfig, type FleetInput } from "../shared/fleet.ts";
import { MAX_FLEET_FAULT } from "../shared/wire.ts";

export interface CheckedFleet {
  readonly fleet: FleetConfig;
  /** Why the file couldn't be used, with its fields, on one line; null if it is the file's fleet. */
  readonly fault: string | null;
}

/**
 * The fleet of the file, or of the copy if the file is invalid.
 * @throws Error with the file's fault if there is no valid copy either
 */
export async function readFleet(file: URL, copy: string): Promise<CheckedFleet> {
  try {
    return { fleet: await importFleet(file), fault: null };
  } catch (error) {
    const reason = error instanceof Error ? error.message : "it can't be loaded";
    const fleet = readCopy(copy);
    if (fleet === null)
      throw new Error(`${fileURLToPath(file)} is invalid, and no valid copy is kept:\n${reason}`, {
        cause: error,
      });
    return { fleet, fault: oneLine(reason) };
  }
}

/**
 * Replaces the copy as a whole. During a reload two agents may write it.
 * @throws Error if it can't be written
 */
export function keepFleet(fleet: FleetConfig, copy: string): void {
  const next = `${copy}.${process.pid}`;
  mkdirSync(dirname(copy), { recursive: true, mode: 0o700 });
  writeFileSync(next, `${JSON.stringify(fleet)}\n`);
  renameSync(next, copy);
}

/** @throws whatever importing the file throws, or Error that names each invalid field */
async function importFleet(file: URL): Promise<FleetConfig> {
  const { default: fleet } = (await import(file.href)) as { readonly default?: FleetInput };
  if (fleet === undefined)
    throw new Error("the fleet file has no default export: export default defineFleet({…})");
  // Again, in case that the file exports a plain object.
  return defineFleet(fleet);
}

/** Null also for a copy that an older version of this program wrote and this one finds invalid. */
function readCopy(copy: string): FleetConfig | null {
  try {
    return defineFleet(JSON.parse(readFileSync(copy, "utf8")) as FleetInput);
  } catch {
    return null;
  }
}

function oneLine(text: string): string {
  const line = text.replace(/\s*\n\s*(- )?/g, " ").trim();
  return line.length > MAX_FLEET_FAULT ? `${line.slice(0, MAX_FLEET_FAULT - 1)}…` : line;
}
