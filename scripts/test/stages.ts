// The stages of `npm test`, in their order, and which of them holds a test file. Pure.

export const STAGES = ["check", "unit", "worker", "pages", "e2e"] as const;

export type Stage = (typeof STAGES)[number];

type TestStage = Exclude<Stage, "check">;

export const HEADLINES = {
  check: "fleet file, format, lint, types",
  unit: "tests on Node: pure cores, agent, simulators, scripts",
  worker: "tests of the edge, inside workerd",
  pages: "the console's pages, in Chromium",
  e2e: "the whole product, from outside",
} as const;

/** Vitest's project, or pattern of projects, for each stage. */
export const PROJECTS = {
  unit: "node",
  worker: "worker",
  pages: "pages",
  e2e: "e2e*",
} as const;

/** The stages that open a browser. */
export const BROWSER_STAGES: readonly Stage[] = ["pages", "e2e"];

export const TEST_STAGES: readonly TestStage[] = ["unit", "worker", "pages", "e2e"];

/**
 * The stages in which a filter of vitest can match a file; all of them for a part of a name.
 * @param filter a path, a folder, or a part of either; `:<line>` may follow
 */
export function stagesOf(filter: string): readonly TestStage[] {
  const path = filter.replace(/^\.\//, "").replace(/:\d+$/, "");
  if (path.startsWith("test/worker/")) return ["worker"];
  if (path.startsWith("test/e2e/")) return ["e2e"];
  if (path.startsWith("test/console/")) {
    if (path.endsWith(".page.test.ts")) return ["pages"];
    return path.endsWith(".ts") ? ["unit"] : ["unit", "pages"];
  }
  return /^test\/([^/]+\/|.*\.ts$)/.test(path) ? ["unit"] : TEST_STAGES;
}
