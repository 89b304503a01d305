// Which stretch of time a question about usage means.
import { describe, expect, it } from "vitest";
import { UsageQuestion } from "../../../shared/usage-report.ts";
import { usageRange } from "../../../worker/usage/query-range.ts";

const NOW = Date.parse("2026-11-23T12:34:56Z");
const stretch = (query: Readonly<Record<string, string>>) => usageRange(UsageQuestion.parse(query), NOW);

describe("a question about usage", () => {
  it("means the last thirty days by day where it says nothing", () => {
    expect(stretch({})).toEqual({
      ok: true,
      value: { from: Date.parse("2026-10-25"), to: Date.parse("2026-11-24"), by: "day", key: null },
    });
  });

  it("takes moments of any zone, and days as their beginning in UTC", () => {
    expect(stretch({ from: "2026-11-01", to: "2026-11-02T02:00:00+02:00", by: "hour", key: "abc" })).toEqual({
      ok: true,
      value: { from: Date.parse("2026-11-01"), to: Date.parse("2026-11-02"), by: "hour", key: "abc" },
    });
  });

  it.each([
    [{ from: "2026-11-02", to: "2026-11-01" }, "from", /before it begins/],
    [{ from: "2026-11-02", to: "2026-11-02" }, "from", /exclusive/],
    [{ from: "2024-01-01" }, "from", /760 days; ask from 2024-10-24/],
    [{ from: "0001-01-01" }, "from", /760 days/],
    [{ from: "2026-08-01", by: "hour" }, "from", /hours are kept for 90 days.*by "day"/],
    [{ to: "2020-01-01" }, "to", /760 days/],
    [{ to: "2019-01-01", by: "hour" }, "to", /90 days/],
    [{ to: "9999-12-31" }, "to", /years ahead/],
  ])("is refused with its field where it makes no sense: %j", (query, param, words) => {
    const refused = stretch(query);
    if (refused.ok) throw new Error("it was taken");
    expect(refused.refusal).toMatchObject({ code: "invalid_request", param });
    expect(refused.refusal.message).toMatch(words);
  });
});
