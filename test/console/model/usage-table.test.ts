import { describe, expect, it } from "vitest";
import { usagePath, usageRows } from "../../../console/model/usage-table.ts";
import { FakeKeys } from "../support/fake-keys.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const MONTH = "2026-11-01T00:00:00.000Z";
const fake = (): FakeKeys => new FakeKeys(() => NOW);

describe("usage", () => {
  it("is requested in whole UTC days", () => {
    const query = new URLSearchParams(usagePath("day", "week", NOW).split("?")[1]);
    expect(Object.fromEntries(query)).toEqual({
      by: "day",
      from: "2026-11-17T00:00:00.000Z",
      to: "2026-11-24T00:00:00.000Z",
    });
    const month = new URLSearchParams(usagePath("day", "month", NOW).split("?")[1]);
    expect(month.get("from")).toBe(MONTH);
  });

  it("shows key names if they are known", () => {
    const rows = usageRows(fake().usage("key", MONTH), new Map([["Qm2xPq8sT1", "Mediczy production"]]));
    expect(rows.map(({ name }) => name)).toEqual(["Mediczy production", "Zk81hHa0Lw", "Aa00Bb11Cc"]);
    expect(rows[0]).toMatchObject({
      complete: "99.4 %",
      share: 1,
      estimated: "14 of the calls are estimated",
    });
  });
});
