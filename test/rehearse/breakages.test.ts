// The faults that the rehearsal causes: each is named by a check that `isha doctor` has.
import { expect, it } from "vitest";
import { BREAKAGES } from "../../scripts/rehearse/breakages.ts";
import { CHECKS } from "../cli/doctor/support/world.ts";

it("there are at least twelve, each with its own name", () => {
  const names = new Set(BREAKAGES.map(({ name }) => name));
  expect(names.size).toBe(BREAKAGES.length);
  expect(names.size).toBeGreaterThanOrEqual(12);
});

it.each(BREAKAGES)("$name is named by the check $check of isha doctor", ({ check }) => {
  expect(CHECKS.map(({ name }) => name)).toContain(check);
});

it("together they cover every check of a box that a folder tree can fail", () => {
  const covered = new Set(BREAKAGES.map(({ check }) => check));
  // The first three need another build of llama-server or of Node, alarms need minutes; the rest are the edge's own.
  const others = [
    "llama-build",
    "llama-flags",
    "pm2-node",
    "alarms",
    "edge-https",
    "service-health",
    "clock",
  ];
  const tunnels = CHECKS.map(({ name }) => name).filter((name) => name.endsWith("-box1"));
  expect([...covered, ...others, ...tunnels].sort()).toEqual(CHECKS.map(({ name }) => name).sort());
});
