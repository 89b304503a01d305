import { describe, expect, it } from "vitest";
import { UsageQuery } from "../../../shared/usage-report.ts";
import { usageRequest } from "../../../worker/usage/query-range.ts";

const NOW = Date.parse("2026-11-23T12:34:56Z");
const requestOf = (query: Readonly<Record<string, string>>) => usageRequest(UsageQuery.parse(query), NOW);

describe("a usage query", () => {
  it("covers the last thirty days, by day, by default", () => {
    expect(requestOf({})).toEqual({
      ok: true,
      value: { from: Date.parse("2026-10-25"), to: Date.parse("2026-11-24"), by: "day", key: null },
    });
  });

  it("accepts times in any zone, and days as their start in UTC", () => {
    expect(
      requestOf({ from: "2026-11-01", to: "2026-11-02T02:00:00+02:00", by: "hour", key: "abc" }),
    ).toEqual({
      ok: true,
      value: { from: Date.parse("2026-11-01"), to: Date.parse("2026-11-02"), by: "hour", key: "abc" },
    });
  });

  it("passes on how days and hours are split", () => {
    expect(requestOf({ split: "model" })).toMatchObject({ ok: true, value: { by: "day", split: "model" } });
    const hours = { from: "2026-10-24", by: "hour", split: "key" };
    expect(requestOf(hours)).toMatchObject({ ok: true, value: { by: "hour", split: "key" } });
  });

  it.each([
    [{ from: "2026-11-02", to: "2026-11-01" }, "from", /must be before "to" \(2026-11-01\)/],
    [{ from: "2026-11-02", to: "2026-11-02" }, "from", /exclusive/],
    [{ from: "2024-01-01" }, "from", /760 days; request a range from 2024-10-24/],
    [{ from: "0001-01-01" }, "from", /760 days/],
    [{ from: "2026-08-01", by: "hour" }, "from", /hours are stored for 90 days.*by "day"/],
    [{ to: "2020-01-01" }, "to", /760 days/],
    [{ to: "2019-01-01", by: "hour" }, "to", /90 days/],
    [{ to: "9999-12-31" }, "to", /years ahead/],
    [{ by: "model", split: "key" }, "split", /"by=day" and "by=hour" only/],
    [{ from: "2026-10-01", by: "hour", split: "key" }, "from", /up to 31 days.*by "day"/],
  ])("is refused with the wrong field: %j", (query, param, text) => {
    const refused = requestOf(query);
    if (refused.ok) throw new Error("it was accepted");
    expect(refused.refusal).toMatchObject({ code: "invalid_request", param });
    expect(refused.refusal.message).toMatch(text);
  });
});
