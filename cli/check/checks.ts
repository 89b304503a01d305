// The checks of a clone before it is deployed, in the order of their output.
import type { Check } from "../doctor/check.ts";
import { bundleChecks } from "./bundle-check.ts";
import { CONFIG_CHECKS } from "./config-checks.ts";
import { checkFleetFile, checkGeneratedFiles, checkSecretFiles } from "./file-checks.ts";
import type { Project } from "./project.ts";

/** The bundle takes a few seconds, on a busy machine many. */
export const PROJECT_DEADLINE_MS = 180_000;

export function projectChecks(project: Project): Check[] {
  return [
    { name: "fleet-file", run: () => checkFleetFile(project) },
    { name: "secret-files", run: () => checkSecretFiles(project) },
    { name: "generated-files", run: (_, signal) => checkGeneratedFiles(project, signal) },
    ...Object.entries(CONFIG_CHECKS).map(([name, check]) => ({
      name,
      run: () => Promise.resolve(check(project)),
    })),
    ...bundleChecks(project),
  ];
}
