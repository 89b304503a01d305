// The checks of wrangler.toml, each on a copy with one fault, as wrangler reads it.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CONFIG_CHECKS } from "../../../cli/check/config-checks.ts";
import { readEnvironments } from "../../../cli/check/wrangler.ts";
import type { Outcome } from "../../../cli/doctor/check.ts";
import fleet from "../../../fleet.config.ts";
import { readSource } from "../../support/source-text.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-check-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type CheckName = keyof typeof CONFIG_CHECKS;

/** The check on wrangler.toml with a text replaced in its part from `section` on. */
async function after(check: CheckName, from: string | RegExp, to: string, section = ""): Promise<Outcome> {
  const shipped = readSource("wrangler.toml");
  const start = shipped.indexOf(section);
  const changed = shipped.slice(0, start) + shipped.slice(start).replace(from, to);
  expect(changed).not.toBe(shipped);
  await writeFile(join(folder, "wrangler.toml"), changed);
  return CONFIG_CHECKS[check]({ environments: await readEnvironments(folder), fleet });
}

describe("the shipped wrangler.toml", () => {
  it.each(Object.keys(CONFIG_CHECKS) as CheckName[])("passes %s", async (check) => {
    await writeFile(join(folder, "wrangler.toml"), readSource("wrangler.toml"));
    const outcome = CONFIG_CHECKS[check]({ environments: await readEnvironments(folder), fleet });
    expect(outcome).toMatchObject({ verdict: "fine" });
  });

  it("needs Workers Paid for its limit of CPU time, and the free plan without it", async () => {
    const without = await after("plan", /limits = .*\n/g, "");
    expect(without.text).toContain("the free plan is enough");
    const paid = await after("plan", "cpu_ms = 5000", "cpu_ms = 6000", "[env.staging]");
    expect(paid.text).toContain("env.production, env.staging: Workers Paid");
  });
});

describe("a fault is found, with its environment and its fix", () => {
  const PRODUCTION = "[env.production]";
  it.each<[CheckName, string | RegExp, string, string, RegExp]>([
    [
      "routes",
      'pattern = "ai.isha.buzz"',
      'pattern = "old.example.org"',
      PRODUCTION,
      /env\.production routes old\.example\.org; for the fleet file's domain it is ai\.isha\.buzz/,
    ],
    ["routes", /routes = .*/, "routes = []", "[env.staging]", /env\.staging has no route/],
    ["routes", /routes = .*/, "routes = []", PRODUCTION, /env\.production has no route/],
    [
      "routes",
      'pattern = "staging.ai.isha.buzz"',
      'pattern = "ai.isha.buzz"',
      "[env.staging]",
      /env\.staging routes ai\.isha\.buzz; for the fleet file's domain it is staging\.ai\.isha\.buzz/,
    ],
    [
      "routes",
      'pattern = "ai.isha.buzz", custom_domain = true',
      'pattern = "ai.isha.buzz", zone_name = "isha.buzz"',
      PRODUCTION,
      /for the fleet file's domain it is ai\.isha\.buzz\/\*/,
    ],
    [
      "bindings",
      '  { name = "LEDGER", class_name = "Ledger" },\n',
      "",
      PRODUCTION,
      /env\.production lacks LEDGER \(object Ledger\)/,
    ],
    [
      "bindings",
      /\[\[env\.staging\.ratelimits\]\][^]*/,
      "",
      "[env.staging]",
      /env\.staging lacks ADDRESS_SHIELD \(rate limit\)/,
    ],
    ["bindings", 'BOX_ORIGINS = ""', 'OTHER = ""', PRODUCTION, /env\.production lacks BOX_ORIGINS/],
    ["bindings", /secrets = .*\n/, "", PRODUCTION, /env\.production lacks BOX_SECRET \(secret\)/],
    [
      "migrations",
      '["KeyRegistry", "Ledger", "Fleet"]',
      '["KeyRegistry", "Fleet"]',
      "",
      /no migration creates Ledger/,
    ],
    ["address-shield", '"7101"', '""', PRODUCTION, /env\.production: ADDRESS_SHIELD has no namespace_id/],
    ["address-shield", '"7102"', '"7101"', "", /ADDRESS_SHIELD of isha-edge-staging counts together/],
    ["development-keys", 'DEV_KEYS = ""', 'DEV_KEYS = "1"', PRODUCTION, /env\.production sets DEV_KEYS/],
  ])("%s: %s → %s", async (check, from, to, section, text) => {
    const outcome = await after(check, from, to, section);
    expect(outcome.verdict).toBe("wrong");
    expect(outcome.text).toMatch(text);
    expect(outcome.fix).toContain("wrangler.toml");
  });

  it("the fix of a route is the line of its own environment, at its own host", async () => {
    const { fix } = await after("routes", /routes = .*/, "routes = []", "[env.staging]");
    expect(fix).toBe(
      'In wrangler.toml, under [env.staging]: routes = [{ pattern = "staging.ai.isha.buzz", custom_domain = true }]',
    );
  });

  it("a route of the domain in place of a custom domain is fine", async () => {
    const route = 'pattern = "ai.isha.buzz/*", zone_name = "isha.buzz"';
    const outcome = await after(
      "routes",
      'pattern = "ai.isha.buzz", custom_domain = true',
      route,
      PRODUCTION,
    );
    expect(outcome.verdict).toBe("fine");
  });

  it("a wrangler.toml that isn't TOML is reported as wrangler reports it", async () => {
    await writeFile(join(folder, "wrangler.toml"), "name = ");
    await expect(readEnvironments(folder)).rejects.toThrow();
  });
});
