import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readListing, type Pm2Process } from "../../../origin-agent/probes/pm2-listing.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

/** `pm2 jlist` of PM2 7.0.4, as it printed it, with a process in each state and secrets in their environments. */
const JLIST = readFileSync(new URL("../../fixtures/pm2-7-jlist.txt", import.meta.url), "utf8");
const PRINTED_AT = 1_795_456_953_200;

const listed = (listing: unknown, wallNow = PRINTED_AT): readonly Pm2Process[] =>
  readListing(listing, wallNow) ?? [];

describe("a real listing of PM2 7", () => {
  it("gives each process's name, number, process, status, restarts and time", () => {
    const words = listed(JSON.parse(JLIST)).map(({ name, pmId, pid, status, restarts, uptimeMs }) =>
      [name, pmId, pid, status, restarts, uptimeMs].join(" | "),
    );
    expect(words).toEqual([
      "isha-agent | 0 | 12399 | online | 0 | 4603",
      "llama-qwen-8080 | 1 | 12650 | online | 1 | 969",
      "llama-medpalm2-8081 | 2 |  | stopped | 0 | ",
      // PM2's own word is `waiting restart`, and it has given this one up.
      "llama-qwen-8082 | 3 |  | errored | 2 | ",
      "llama-errored-8083 | 4 |  | errored | 1 | ",
      "llama-openinsurance-8084 | 5 |  | waiting restart | 0 | ",
      "llama-bimedix2-8085 | 6 | 12423 | stopping | 0 | 4512",
      "llama-launching-8086 | 7 | 12445 | launching | 0 | 4481",
    ]);
  });

  it("leaves the processes' environments behind", () => {
    expect(JLIST).toContain("planted-secret-of-the-box");
    const kept = JSON.stringify(listed(JSON.parse(JLIST)));
    expect(kept).not.toMatch(/planted|secret|PATH|HOME/i);
    expect(Object.keys(listed(JSON.parse(JLIST))[0] ?? {}).sort()).toEqual([
      "name",
      "pid",
      "pmId",
      "restarts",
      "status",
      "uptimeMs",
    ]);
  });
});

describe("another listing", () => {
  const env = { status: "online", restart_time: 0, pm_uptime: 1_000 };
  const entry = { name: "a", pm_id: 0, pid: 5, pm2_env: env };

  it.each<[string, unknown, readonly Pm2Process[] | null]>([
    ["that is none", { error: "no" }, null],
    ["that is null", null, null],
    ["of nothing", [], []],
    ["with what isn't a process", [null, 5, "a", [], {}], []],
    ["with a process without a name", [{ ...entry, name: "" }], []],
    ["with an old agent's entry during a reload", [{ ...entry, pm_id: "_old_0" }], []],
    [
      "with a word of PM2's that we don't know",
      [{ ...entry, pm2_env: { ...env, status: "hovering" } }],
      [{ name: "a", pmId: 0, pid: null, status: "unknown", restarts: 0, uptimeMs: null }],
    ],
    [
      "with figures that are none",
      [{ ...entry, pid: "5", pm2_env: { status: "online", restart_time: -1, pm_uptime: null } }],
      [{ name: "a", pmId: 0, pid: null, status: "online", restarts: null, uptimeMs: null }],
    ],
    [
      "of a process started later than now, as a clock set back makes it",
      [{ ...entry, pm2_env: { ...env, pm_uptime: PRINTED_AT + 5_000 } }],
      [{ name: "a", pmId: 0, pid: 5, status: "online", restarts: 0, uptimeMs: 0 }],
    ],
  ])("%s", (_, listing, processes) => {
    expect(readListing(listing, PRINTED_AT)).toEqual(processes);
  });

  it("is read up to 256 processes", () => {
    expect(listed(Array.from({ length: 5_000 }, (_, pmId) => ({ ...entry, pm_id: pmId })))).toHaveLength(256);
  });

  it.each(SEEDS)("with anything in any place never throws, seed %i", (seed) => {
    const random = new SeededRandom(seed);
    const odd = (): unknown => random.pick([null, 0, -1, 1e300, Number.NaN, "", "online", [], {}, true, 7]);
    for (let turn = 0; turn < 300; turn += 1) {
      const pm2Env = random.chance(0.5) ? odd() : { status: odd(), restart_time: odd(), pm_uptime: odd() };
      listed([{ name: odd(), pm_id: odd(), pid: odd(), pm2_env: pm2Env }, odd()]);
    }
  });
});
