import { describe, expect, it } from "vitest";
import { totalRow, usageRows } from "../../../console/model/usage-table.ts";
import { FakeUsage } from "../support/fake-usage.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const report = (usage = new FakeUsage(() => NOW)) => usage.report({ by: "key", from: "2026-11-01" });

describe("the usage table", () => {
  it("shows key names if they are known, and explains ids that are on no list of keys", () => {
    const usage = new FakeUsage(() => NOW);
    usage.names.key = ["Qm2xPq8sT1", "Zk81hHa0Lw", "dev-key"];
    const rows = usageRows(report(usage), new Map([["Qm2xPq8sT1", "Mediczy production"]]));
    expect(rows.map(({ name }) => name)).toEqual(["Mediczy production", "Zk81hHa0Lw", "dev-key"]);
    expect(rows[2]?.note).toMatch(/development key/);
    expect(rows[0]).toMatchObject({
      complete: "99.4 %",
      share: 1,
      estimated: "14 estimated",
      note: "",
    });
  });

  it("rounds shares down, limits them to 100 %, and shows a dash for an unknown one", () => {
    const sums = { ...report().total, calls: 100_000, complete: 99_999, promptTokens: 0, cachedTokens: 0 };
    const total = (change: Partial<typeof sums>) => totalRow({ ...report(), total: { ...sums, ...change } });
    expect(total({})).toMatchObject({ complete: "99.9 %", cached: "–" });
    expect(total({ complete: 200_000 }).complete).toBe("100.0 %");
    expect(total({ calls: 0, complete: 0 })).toMatchObject({ calls: "0", complete: "–" });
  });
});
