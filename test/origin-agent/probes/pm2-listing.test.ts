import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readListing, type Pm2Process } from "../../../origin-agent/probes/pm2-listing.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";

/** The output of `pm2 jlist` of PM2 7.0.4, with a process in each state and secrets in their environments. */
const JLIST = readFileSync(new URL("../../fixtures/pm2-7-jlist.txt", import.meta.url), "utf8");
const PRINTED_AT = 1_795_456_953_200;

const listed = (listing: unknown, wallNow = PRINTED_AT): readonly Pm2Process[] =>
  readListing(listing, wallNow) ?? [];

describe("a real listing of PM2 7", () => {
  it("yields each process's name, id, pid, status, restarts and uptime", () => {
    const rows = listed(JSON.parse(JLIST)).map(({ name, pmId, pid, status, restarts, uptimeMs }) =>
      [name, pmId, pid, status, restarts, uptimeMs].join(" | "),
    );
    expect(rows).toEqual([
      "isha-agent | 0 | 12399 | online | 0 | 4603",
      "llama-qwen-8080 | 1 | 12650 | online | 1 | 969",
      "llama-medpalm2-8081 | 2 |  | stopped | 0 | ",
      // PM2's own status is `waiting restart`, but it has given up on this process.
      "llama-qwen-8082 | 3 |  | errored | 2 | ",
      "llama-errored-8083 | 4 |  | errored | 1 | ",
      "llama-openinsurance-8084 | 5 |  | waiting restart | 0 | ",
      "llama-bimedix2-8085 | 6 | 12423 | stopping | 0 | 4512",
      "llama-launching-8086 | 7 | 12445 | launching | 0 | 4481",
    ]);
  });

  it("discards the processes' environments", () => {
    expect(JLIST).toContain("planted-secret-of-the-box");
    const kept = JSON.stringify(listed(JSON.parse(JLIST)));
    expect(kept).not.toMatch(/planted|secret|PATH|HOME/i);
    expect(Object.keys(listed(JSON.parse(JLIST))[0] ?? {}).sort()).toEqual([
      "name",
      "pid",
      "pmId",
      "port",
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
    ["that isn't a list", { error: "no" }, null],
    ["that is null", null, null],
    ["that is empty", [], []],
    ["with entries that aren't processes", [null, 5, "a", [], {}], []],
    ["with a process without a name", [{ ...entry, name: "" }], []],
    ["with an old agent's entry during a reload", [{ ...entry, pm_id: "_old_0" }], []],
    [
      "with an unknown status",
      [{ ...entry, pm2_env: { ...env, status: "hovering" } }],
      [{ name: "a", pmId: 0, pid: null, status: "unknown", restarts: 0, uptimeMs: null, port: null }],
    ],
    [
      "with invalid figures",
      [{ ...entry, pid: "5", pm2_env: { status: "online", restart_time: -1, pm_uptime: null } }],
      [{ name: "a", pmId: 0, pid: null, status: "online", restarts: null, uptimeMs: null, port: null }],
    ],
    [
      "with a start time in the future, because the clock was set back",
      [{ ...entry, pm2_env: { ...env, pm_uptime: PRINTED_AT + 5_000 } }],
      [{ name: "a", pmId: 0, pid: 5, status: "online", restarts: 0, uptimeMs: 0, port: null }],
    ],
  ])("%s", (_, listing, processes) => {
    expect(readListing(listing, PRINTED_AT)).toEqual(processes);
  });

  it("is limited to 256 processes", () => {
    expect(listed(Array.from({ length: 5_000 }, (_, pmId) => ({ ...entry, pm_id: pmId })))).toHaveLength(256);
  });

  it.each(SEEDS)("never throws, whatever its fields contain (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const odd = (): unknown => random.pick([null, 0, -1, 1e300, Number.NaN, "", "online", [], {}, true, 7]);
    for (let turn = 0; turn < 300; turn += 1) {
      const pm2Env = random.chance(0.5) ? odd() : { status: odd(), restart_time: odd(), pm_uptime: odd() };
      listed([{ name: odd(), pm_id: odd(), pid: odd(), pm2_env: pm2Env }, odd()]);
    }
  });
});
