// The runbook has a row for each alarm, with the alarm's name and numbers.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import shipped from "../../fleet.config.ts";
import { adviceOf, type AlarmKind } from "../../worker/fleet/alarms/advice.ts";
import { ALARM_AFTER_MS, CALM_MS, ERROR_CALLS, HOT_C } from "../../worker/fleet/alarms/conditions.ts";

const text = readFileSync(fileURLToPath(new URL("../../docs/operations.md", import.meta.url)), "utf8");
const lines = new Map(
  [...text.matchAll(/^\| `([a-z-]+)` +\| (.*?) +\| (.*?) +\|$/gm)].map(
    ([, kind = "", when = "", what = ""]) => [kind, { when, what }],
  ),
);

describe("the runbook", () => {
  it("has a row for each alarm, and no other rows", () => {
    expect([...lines.keys()].toSorted()).toEqual(Object.keys(ALARM_AFTER_MS).toSorted());
  });

  it("states how long a condition lasts before its alarm is raised, and when the alarm is over", () => {
    for (const [kind, ms] of Object.entries(ALARM_AFTER_MS) as [AlarmKind, number][])
      if (ms > 0) expect(lines.get(kind)?.when, kind).toContain(`for ${ms / 1000} s`);
    expect(lines.get("heat")?.when).toContain(`${HOT_C} °C`);
    expect(lines.get("errors")?.when).toContain(`at least ${ERROR_CALLS}`);
    expect(text.replaceAll("\n", " ")).toContain(`one when it has been over for ${CALM_MS / 1000} s`);
  });

  it("names every command that an alarm's advice names, for a server of the shipped fleet file", () => {
    const [box] = shipped.boxes;
    const server = box?.servers.at(-1);
    if (box === undefined || server === undefined) throw new Error("no server");
    const subject = { box: box.name, port: server.port, process: server.pm2, failedRequest: null };
    for (const kind of Object.keys(ALARM_AFTER_MS) as AlarmKind[]) {
      const commands = [...adviceOf(kind, subject).matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
      expect(commands.length, kind).toBeGreaterThan(0);
      for (const command of commands) expect(lines.get(kind)?.what, kind).toContain(`\`${command}\``);
    }
  });
});
