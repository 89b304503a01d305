import { describe, expect, it } from "vitest";
import { keyRow } from "../../../console/model/key-row.ts";
import { FakeKeys } from "../support/fake-keys.ts";
import { FakeUsage } from "../support/fake-usage.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const MONTH_START = "2026-11-01T00:00:00.000Z";
const fake = (): FakeKeys => new FakeKeys(() => NOW);

describe("a key's row", () => {
  it("shows its monthly usage next to its limits", () => {
    const keys = fake();
    const month = new FakeUsage(() => NOW).report({ by: "key", from: MONTH_START });
    const row = keyRow(keys.find("Zk81hHa0Lw"), month);
    expect(row).toMatchObject({
      usage: "952.4 k of 1.0 M tokens",
      permissions: "infer: Claims, Billing only",
      limits: "20 per second, low priority",
    });
    expect(row.usageShare).toBeCloseTo(0.952, 2);
    expect(keyRow(keys.find("Aa00Bb11Cc"), month).usageShare).toBeNull();
  });

  it("doesn't show an unknown month as unused", () => {
    expect(keyRow(fake().find("Qm2xPq8sT1"), null)).toMatchObject({ usage: "", usageShare: null });
  });

  it("of a revoked key has no actions", () => {
    expect(keyRow(fake().find("Old0Old0Old"), null)).toMatchObject({
      live: false,
      state: { label: "revoked" },
    });
  });
});
