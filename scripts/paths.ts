// Paths in this clone.
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));
export const SHIPPED_FLEET = join(ROOT, "fleet.config.ts");

/** The Node that package-lock.json names, whatever runs the caller. */
export const PROJECT_NODE = join(ROOT, "node_modules", "node", "bin", "node");
