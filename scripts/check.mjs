// `npm run check`: what can be said about the sources without running the product. Every part runs, so that
// all there is to mend shows at once.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT, SHIPPED_FLEET } from "./paths.mjs";
import { runNode } from "./run-node.mjs";

/** One TypeScript project a room, so that none sees another's runtime; the root's is the fleet file's. */
const ROOMS =
  "shared . worker origin-agent cli console bench bench/floors/edge scripts test test/worker".split(" ");

/** @typedef {{ name: string, args: string[] }} Part */

/** @param {(file: string) => boolean} exists @returns {Part[]} */
export function checkParts(exists = (file) => existsSync(join(ROOT, file))) {
  const types = ROOMS.filter((room) => exists(join(room, "tsconfig.json"))).map((room) => ({
    name: `types of ${room === "." ? "fleet.config.ts" : `${room}/`}`,
    args: [tool("tsc"), "-p", room],
  }));
  return [
    { name: "fleet", args: ["--eval", FLEET_CHECK, pathToFileURL(SHIPPED_FLEET).href] },
    { name: "format", args: [tool("oxfmt"), "--check", "."] },
    { name: "lint", args: [tool("oxlint"), "--type-aware", "."] },
    ...types,
  ];
}

/** Prints what is wrong with the fleet file, not where in our code that was noticed. */
const FLEET_CHECK =
  "import(process.argv[1]).catch((error) => { console.error(error.message); process.exitCode = 1; });";

/** @returns {Promise<string[]>} the names of the parts that failed */
export async function check() {
  /** @type {string[]} */
  const failed = [];
  for (const { name, args } of checkParts()) {
    const started = performance.now();
    const code = await runNode(args);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${code === 0 ? "ok    " : "FAILED"}  ${name} (${seconds} s)`);
    if (code !== 0) failed.push(name);
  }
  return failed;
}

/** @param {string} name */
function tool(name) {
  return join(ROOT, "node_modules", ".bin", name);
}

if (import.meta.main) {
  const failed = await check();
  console.log(failed.length === 0 ? "All checks passed." : `Failed: ${failed.join(", ")}.`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
