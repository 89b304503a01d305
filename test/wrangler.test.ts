// wrangler.toml as wrangler reads it: production is the Worker that runs here, with a limit on CPU time; staging is a
// second one below the domain. Plain wrangler works in a fresh clone.
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";
import fleet from "../fleet.config.ts";

const read = (env: string) => {
  const { targetEnvironment: _, ...config } = unstable_readConfig(
    { config: "wrangler.toml", env },
    { hideWarnings: true },
  );
  return config;
};

it("production ends a request after 5 s of CPU time; the free plan can be deployed to, since it refuses that limit", () => {
  const [production, plain] = [read("production"), read("")];
  expect(production.limits).toEqual({ cpu_ms: 5_000 });
  expect(plain.limits).toBeUndefined();
});

it("production differs from what runs here in nothing else", () => {
  const [{ limits: _, ...production }, { limits: __, ...plain }] = [read("production"), read("")];
  expect(production).toEqual(plain);
});

it("staging differs from production in its name, its address and its limiter's namespace, nothing else", () => {
  const [staging, production] = [read("staging"), read("production")];
  const pattern = `staging.${fleet.domain}`;
  expect(staging).toMatchObject({ name: "isha-edge-staging", routes: [{ pattern, custom_domain: true }] });
  const ids = [staging, production].map(({ ratelimits }) =>
    ratelimits.map((one: { namespace_id: string }) => one.namespace_id),
  );
  expect(new Set(ids.flat()).size).toBe(2);
  const { name, routes, ratelimits } = production;
  expect({ ...staging, name, routes, ratelimits }).toEqual(production);
});

it.each(["production", "staging", ""])(
  "the platform records no request, URL or header of the environment %o, whose bindings are all its own",
  (env) => {
    const { observability, durable_objects, ratelimits, assets, secrets, vars, migrations } = read(env);
    expect(observability).toMatchObject({
      redact_query_string: true,
      logs: { invocation_logs: false },
      traces: { enabled: false },
    });
    expect(durable_objects.bindings.map((one: { class_name?: string }) => one.class_name)).toEqual(
      migrations.flatMap(({ new_sqlite_classes = [] }) => new_sqlite_classes),
    );
    expect(ratelimits).toHaveLength(1);
    expect([assets?.binding, secrets?.required, Object.keys(vars)]).toEqual([
      "ASSETS",
      ["BOX_SECRET"],
      ["DEV_KEYS", "BOX_ORIGINS"],
    ]);
  },
);

const ROOT = fileURLToPath(new URL("..", import.meta.url));
let clone = "";
beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), "isha-clone-"));
  const sources = "console fleet.config.ts package.json scripts shared worker wrangler.toml tsconfig.json";
  for (const name of sources.split(" ")) await cp(join(ROOT, name), join(clone, name), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
});
afterAll(() => rm(clone, { recursive: true, force: true }));

it("in a clone after npm ci, wrangler builds the assets itself", async () => {
  const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: clone,
    CI: "1",
    NO_COLOR: "1",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    WRANGLER_SEND_METRICS: "false",
  };
  const args = [wrangler, "deploy", "--dry-run", "--env", "production"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: clone, env });
  expect(stdout).toContain("env.LEDGER (Ledger)");
  expect(await readFile(join(clone, "dist/assets/docs/openapi.json"), "utf8")).toContain('"openapi":');
});
