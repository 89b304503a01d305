// The checks of a clone before it is deployed, in the order of their output.
import type { Check } from "../doctor/check.ts";
import { bundleChecks } from "./bundle-check.ts";
import {
  checkBindings,
  checkDevelopmentVars,
  checkMigrations,
  checkNamespaces,
  checkPlan,
  checkRoutes,
} from "./config-checks.ts";
import { checkFleetFile, checkGeneratedFiles, checkSecretFiles } from "./file-checks.ts";
import type { Project } from "./project.ts";

/** The bundle takes a few seconds, on a busy machine many. */
export const PROJECT_DEADLINE_MS = 180_000;

export function projectChecks(project: Project): Check[] {
  const pure = (run: (project: Project) => ReturnType<typeof checkRoutes>): Check["run"] => {
    return () => Promise.resolve(run(project));
  };
  return [
    { name: "fleet-file", run: () => checkFleetFile(project) },
    { name: "secret-files", run: () => checkSecretFiles(project) },
    { name: "generated-files", run: (_, signal) => checkGeneratedFiles(project, signal) },
    { name: "development-keys", run: pure(checkDevelopmentVars) },
    { name: "routes", run: pure(checkRoutes) },
    { name: "bindings", run: pure(checkBindings) },
    { name: "migrations", run: pure(checkMigrations) },
    { name: "address-shield", run: pure(checkNamespaces) },
    { name: "plan", run: pure(checkPlan) },
    ...bundleChecks(project),
  ];
}
