// Checks wrangler.toml: the domain, bindings in every environment, migrations, the shield's namespace, development keys,
// and the plan it needs. wrangler itself only warns if an environment lacks a binding, and deploys it. Pure.
import { fine, wrong, type Outcome } from "../doctor/check.ts";
import { environmentName, type Project } from "./project.ts";
import type { Environment } from "./wrangler.ts";

type Configured = Pick<Project, "environments" | "fleet">;

const PRODUCTION = "production";

/** Variables that open the edge to anyone who can reach it, or point it to another box. */
const DEVELOPMENT_VARS = ["DEV_KEYS", "BOX_ORIGINS"];

/** The top level is production without a limit on CPU time; each other environment is one label below the domain. */
const hostOf = (env: string, domain: string): string =>
  env === "" || env === PRODUCTION ? domain : `${env}.${domain}`;

/** The line of an environment of wrangler.toml; the top level has production's. */
export const routesLine = (env: string, domain: string): string =>
  `routes = [{ pattern = "${hostOf(env, domain)}", custom_domain = true }]`;

function checkRoutes({ environments, fleet }: Configured): Outcome {
  const faults: string[] = [];
  const fixes: string[] = [];
  for (const [env, { routes }] of environments) {
    const found = routeFaults(routes, hostOf(env, fleet.domain));
    if (found.length === 0) continue;
    faults.push(...found.map((fault) => `${environmentName(env)} ${fault}`));
    fixes.push(`${env === "" ? "at the top" : `under [env.${env}]`}: ${routesLine(env, fleet.domain)}`);
  }
  if (!environments.has(PRODUCTION)) {
    faults.push("there is no [env.production]");
    fixes.push(`[env.production] with ${routesLine(PRODUCTION, fleet.domain)} and all bindings`);
  }
  const served = [...environments.keys()].filter((env) => env !== "");
  return faults.length === 0
    ? fine(served.map((env) => `${env} is served at ${hostOf(env, fleet.domain)}`).join(", "))
    : wrong(faults.join("; "), `In wrangler.toml, ${fixes.join("; ")}`);
}

function routeFaults(routes: Environment["routes"], host: string): string[] {
  if (routes.length === 0) return ["has no route"];
  return routes.flatMap(({ pattern, custom_domain: isDomain }) => {
    const expected = isDomain ? host : `${host}/*`;
    return pattern === expected ? [] : [`routes ${pattern}; for the fleet file's domain it is ${expected}`];
  });
}

function checkBindings({ environments }: Configured): Outcome {
  const top = environments.get("");
  const expected = top === undefined ? [] : bindingsOf(top);
  const faults = [...environments].flatMap(([env, environment]) => {
    const present = new Set(bindingsOf(environment));
    const missing = expected.filter((binding) => !present.has(binding));
    return missing.length === 0 ? [] : [`${environmentName(env)} lacks ${missing.join(", ")}`];
  });
  return faults.length === 0
    ? fine(`every environment has all ${expected.length} bindings, variables and secrets`)
    : wrong(
        faults.join("; "),
        "Repeat them under that environment in wrangler.toml: an environment inherits no binding.",
      );
}

function bindingsOf(environment: Environment): string[] {
  const { durable_objects: objects, ratelimits, assets, vars, secrets } = environment;
  return [
    ...objects.bindings.map(({ name, class_name: of }) => `${name} (object ${of})`),
    ...ratelimits.map(({ name }) => `${name} (rate limit)`),
    ...(assets?.binding === undefined ? [] : [`${assets.binding} (assets)`]),
    ...Object.keys(vars).map((name) => `${name} (variable)`),
    ...secrets.required.map((name) => `${name} (secret)`),
  ];
}

function checkMigrations({ environments }: Configured): Outcome {
  const faults = [...environments].flatMap(([env, { durable_objects: objects, migrations }]) => {
    const created = createdClasses(migrations);
    const missing = objects.bindings.map((binding) => binding.class_name).filter((of) => !created.has(of));
    return missing.length === 0
      ? []
      : [`in ${environmentName(env)} no migration creates ${[...new Set(missing)].join(", ")}`];
  });
  return faults.length === 0
    ? fine("a migration creates each object's class")
    : wrong(
        faults.join("; "),
        "Add one at the end of wrangler.toml's migrations, with the next tag and new_sqlite_classes; never change an old one.",
      );
}

function createdClasses(migrations: Environment["migrations"]): ReadonlySet<string> {
  const classes = new Set<string>();
  for (const step of migrations) {
    for (const name of [...step.new_classes, ...step.new_sqlite_classes]) classes.add(name);
    for (const { from, to } of step.renamed_classes) {
      classes.delete(from);
      classes.add(to);
    }
    for (const name of step.deleted_classes) classes.delete(name);
  }
  return classes;
}

function checkNamespaces({ environments }: Configured): Outcome {
  const faults: string[] = [];
  /** The Worker that counts in a namespace, by the namespace's id. */
  const owners = new Map<string, string>();
  for (const [env, { name, ratelimits }] of environments) {
    for (const { name: binding, namespace_id: id } of ratelimits) {
      if (!/^[1-9]\d*$/.test(id))
        faults.push(`${environmentName(env)}: ${binding} has no namespace_id (a positive whole number)`);
      const owner = owners.get(id) ?? name;
      if (owner !== name)
        faults.push(`${binding} of ${name} counts together with ${owner}'s: both have ${id}`);
      owners.set(id, owner);
    }
  }
  return faults.length === 0
    ? fine("each Worker's shield has a namespace of its own")
    : wrong(
        faults.join("; "),
        "Set a namespace_id in wrangler.toml that no other Worker of the account uses.",
      );
}

function checkDevelopmentVars({ environments }: Configured): Outcome {
  const faults = [...environments].flatMap(([env, { vars }]) =>
    DEVELOPMENT_VARS.filter((name) => (vars[name] ?? "") !== "").map(
      (name) => `${environmentName(env)} sets ${name}`,
    ),
  );
  return faults.length === 0
    ? fine("no environment sets development keys or other boxes' addresses")
    : wrong(
        faults.join("; "),
        'Empty it in wrangler.toml (""); for this machine alone, set it in .dev.vars.',
      );
}

function checkPlan({ environments }: Configured): Outcome {
  const paid = [...environments].filter(([, { limits }]) => limits?.cpu_ms !== undefined);
  if (paid.length === 0) return fine("the free plan is enough: 10 ms of CPU time and 100,000 calls a day");
  const names = paid.map(([env]) => environmentName(env)).join(", ");
  return fine(
    `${names}: Workers Paid, since limits.cpu_ms is set; without it the free plan takes the top level`,
  );
}

/** By name, in the order of their output. */
export const CONFIG_CHECKS = {
  "development-keys": checkDevelopmentVars,
  routes: checkRoutes,
  bindings: checkBindings,
  migrations: checkMigrations,
  "address-shield": checkNamespaces,
  plan: checkPlan,
} as const;
