// The clone that `isha check` examines: its folder, its fleet file, wrangler.toml, and the operator's secrets.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Machine } from "../doctor/machine.ts";
import type { FleetConfig } from "../../shared/fleet.ts";
import type { Environment } from "./wrangler.ts";

/** The folder of this clone. */
export const PROJECT_ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** Its fleet file, which the Worker is built with. */
export const PROJECT_FLEET = join(PROJECT_ROOT, "fleet.config.ts");

export interface Project {
  readonly root: string;
  /** The fleet file that this command was given. */
  readonly fleet: FleetConfig;
  /** Its path, unless it is the project's own. */
  readonly fleetFile: string | null;
  /** The project's own fleet file, with which the Worker is built; null if it is the same. */
  readonly builtWith: FleetConfig | null;
  /** By name; the top level is "". */
  readonly environments: ReadonlyMap<string, Environment>;
  /** Folder of the files of `isha secrets init`. */
  readonly secretFolder: string;
  readonly machine: Machine;
}

/** An environment as an operator names it. */
export const environmentName = (env: string): string => (env === "" ? "the top level" : `env.${env}`);
