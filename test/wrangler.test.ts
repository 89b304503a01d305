// wrangler.toml as wrangler reads it: production is the Worker that runs here, with a limit on CPU time.
import { expect, it } from "vitest";
import { unstable_readConfig } from "wrangler";

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
