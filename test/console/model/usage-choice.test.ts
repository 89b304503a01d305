import { describe, expect, it } from "vitest";
import { chartPath, tablePath, usageChoice } from "../../../console/model/usage-choice.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const queryOf = (path: string): Record<string, string> =>
  Object.fromEntries(new URLSearchParams(path.split("?")[1]));

describe("the usage view's choice", () => {
  it("has defaults for whatever is absent or unknown in the address", () => {
    const defaults = { by: "model", range: "month", step: "day", measure: "tokens", key: "" };
    expect(usageChoice({})).toEqual(defaults);
    const made = { by: "constructor", range: "toString", step: "week", measure: "__proto__", key: "<b>" };
    expect(usageChoice(made)).toEqual(defaults);
  });

  it("shows hours for a single day, and none for ranges in which the edge doesn't split them", () => {
    expect(usageChoice({ range: "today" }).step).toBe("hour");
    expect(usageChoice({ range: "today", step: "day" }).step).toBe("day");
    expect(usageChoice({ range: "quarter", step: "hour" }).step).toBe("day");
  });

  it.each([
    ["today", "2026-11-23", "2026-11-24"],
    ["week", "2026-11-17", "2026-11-24"],
    ["month", "2026-11-01", "2026-11-24"],
    ["last", "2026-10-01", "2026-11-01"],
    ["quarter", "2026-08-26", "2026-11-24"],
  ])("is requested in whole UTC days: %s", (range, from, to) => {
    const choice = usageChoice({ range, by: "agent", step: "day", key: "Qm2xPq8sT1" });
    const times = { from: `${from}T00:00:00.000Z`, to: `${to}T00:00:00.000Z`, key: "Qm2xPq8sT1" };
    expect(queryOf(tablePath(choice, NOW))).toEqual({ by: "agent", ...times });
    expect(queryOf(chartPath(choice, NOW))).toEqual({ by: "day", split: "agent", ...times });
  });
});
