// The checks of `isha doctor` that an admin key reads: the key itself, the edge's warnings about boxes, and its alarms.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runChecks, type Result } from "../../../cli/doctor/check.ts";
import { EDGE_CHECKS } from "../../../cli/doctor/edge-checks.ts";
import type { FleetAlarm } from "../../../shared/fleet-view.ts";
import { ADMIN_KEY, AdminService } from "../support/admin-service.ts";
import { AT, box, fleet } from "../support/fleet.ts";
import { around } from "./support/world.ts";

const service = new AdminService();
let url: string;
beforeAll(async () => {
  url = await service.start();
});
afterAll(() => service.stop());
beforeEach(() => {
  service.reset();
  service.fleet = fleet();
});

const NAMES = ["admin-key", "box-warnings", "alarms"];
const CHECKS = EDGE_CHECKS.filter(({ name }) => NAMES.includes(name));

function results(adminKey: string | null = ADMIN_KEY): Promise<Result[]> {
  return runChecks(CHECKS, { ...around({}), url, adminKey }, new AbortController().signal);
}

const alarm = (id: string, text: string): FleetAlarm => ({ id, since: AT, text, advice: `Advice on ${id}.` });
const RESTARTED = alarm("restart-loop:north:9000", "9000 was restarted 3 times within ten minutes.");
const SILENT = alarm("box-silent:north", "north is silent.");

describe("with an admin key", () => {
  it("all are fine without warnings and alarms", async () => {
    expect((await results()).map(({ check, verdict }) => [check, verdict])).toEqual(
      NAMES.map((name) => [name, "fine"]),
    );
  });

  it("an alarm is wrong on a line of its own, with its advice; the key is fine", async () => {
    service.fleet = fleet({ alarms: [RESTARTED, SILENT] });
    const [key, warnings, alarms] = await results();
    expect([key?.verdict, warnings?.verdict]).toEqual(["fine", "fine"]);
    expect(alarms).toMatchObject({ verdict: "wrong", text: SILENT.text, fix: SILENT.advice });
  });

  it("the alarm that outlasts restarts is only noted", async () => {
    service.fleet = fleet({ alarms: [RESTARTED] });
    const [, , alarms] = await results();
    expect(alarms).toMatchObject({ verdict: "noted", text: RESTARTED.text });
    expect(alarms?.fix).toContain(RESTARTED.advice);
  });

  it("a warning about a box is wrong, and states its own fix", async () => {
    service.fleet = fleet({ boxes: [box("north", [], { warning: "its clock is ahead: set it" })] });
    const [key, warnings] = await results();
    expect(key?.verdict).toBe("fine");
    expect(warnings).toMatchObject({ verdict: "wrong", text: "north: its clock is ahead: set it" });
  });
});

it("without a key none can be checked", async () => {
  expect((await results(null)).map(({ verdict }) => verdict)).toEqual(NAMES.map(() => "unknown"));
});

it("a key that the service refuses is named with what the service answers", async () => {
  const [key] = await results("isha_of_another_deployment");
  expect(key).toMatchObject({ check: "admin-key", verdict: "unknown" });
  expect(key?.fix).toBeTruthy();
});
