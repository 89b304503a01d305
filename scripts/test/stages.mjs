// The stages of `npm test`, in their order, and which of them holds a test file. Pure.

export const STAGES = /** @type {const} */ (["check", "unit", "worker", "pages", "e2e"]);

/** @typedef {(typeof STAGES)[number]} Stage */
/** @typedef {Exclude<Stage, "check">} TestStage */

export const HEADLINES = /** @type {const} */ ({
  check: "fleet file, format, lint, types",
  unit: "tests on Node: pure cores, agent, simulators, scripts",
  worker: "tests of the edge, inside workerd",
  pages: "the console's pages, in Chromium",
  e2e: "the whole product, from outside",
});

/** Vitest's project, or pattern of projects, for each stage. */
export const PROJECTS = /** @type {const} */ ({
  unit: "node",
  worker: "worker",
  pages: "pages",
  e2e: "e2e*",
});

/** The stages that open a browser. @type {readonly Stage[]} */
export const BROWSER_STAGES = ["pages", "e2e"];

/** @type {readonly TestStage[]} */
export const TEST_STAGES = ["unit", "worker", "pages", "e2e"];

/**
 * The stages in which a filter of vitest can match a file; all of them for a part of a name.
 * @param {string} filter a path, a folder, or a part of either; `:<line>` may follow
 * @returns {readonly TestStage[]}
 */
export function stagesOf(filter) {
  const path = filter.replace(/^\.\//, "").replace(/:\d+$/, "");
  if (path.startsWith("test/worker/")) return ["worker"];
  if (path.startsWith("test/e2e/")) return ["e2e"];
  if (path.startsWith("test/console/")) {
    if (path.endsWith(".page.test.ts")) return ["pages"];
    return path.endsWith(".ts") ? ["unit"] : ["unit", "pages"];
  }
  return /^test\/([^/]+\/|.*\.ts$)/.test(path) ? ["unit"] : TEST_STAGES;
}
