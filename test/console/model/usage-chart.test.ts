import { describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../../shared/calendar.ts";
import { MAX_SPLIT_NAMES } from "../../../shared/usage-report.ts";
import { columnText, marks, markText, stacked, usageChart } from "../../../console/model/usage-chart.ts";
import { FakeUsage } from "../support/fake-usage.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 20, 0);
const days = (usage = new FakeUsage(() => NOW)) =>
  usage.report({ by: "day", split: "model", from: "2026-11-17", to: "2026-11-24" });
const NO_NAMES = new Map<string, string>();

describe("the usage chart", () => {
  it("has a column for each day, also for one without calls, and adds up to the report", () => {
    const report = days();
    const { at, series, text } = usageChart(report, "calls", NO_NAMES, NOW);
    expect(at.map((day) => new Date(day).getUTCDate())).toEqual([17, 18, 19, 20, 21, 22, 23]);
    expect(series.map(({ label }) => label)).toEqual(["BiMediX2-8B", "OpenInsurance-8B", "Qwen-0.6B"]);
    expect(series.map(({ values }) => values[1])).toEqual([0, 0, 0]);
    expect(series.reduce((sum, each) => sum + each.sum, 0)).toBe(report.total.calls);
    expect(text).toMatch(/^Calls by day: [\d,]+ in total; BiMediX2-8B [\d,]+, /);
  });

  it("leaves out hours that haven't begun", () => {
    const report = new FakeUsage(() => NOW).report({
      by: "hour",
      split: "agent",
      from: "2026-11-23",
      to: "2026-11-24",
    });
    const { at, stepMs } = usageChart(report, "tokens", NO_NAMES, NOW);
    expect([at.length, stepMs]).toEqual([4, HOUR_MS]);
  });

  it("puts all others last, without a colour of the palette, and names keys", () => {
    const usage = new FakeUsage(() => NOW);
    usage.names.key = Array.from({ length: 20 }, (_, n) => `key-${n}`);
    const report = usage.report({ by: "day", split: "key", from: "2026-11-17", to: "2026-11-24" });
    const { series } = usageChart(report, "tokens", new Map([["key-0", "<b>Production</b>"]]), NOW);
    expect(series).toHaveLength(MAX_SPLIT_NAMES + 1);
    expect(series[0]?.label).toBe("<b>Production</b>");
    expect(series.at(-1)).toMatchObject({ id: "", label: "all others", colour: null });
  });

  it("has no series for an empty report, and a bounded number of columns for a wrong one", () => {
    const usage = new FakeUsage(() => NOW);
    usage.scale = 0;
    expect(usageChart(days(usage), "tokens", NO_NAMES, NOW).series).toEqual([]);
    const wrong = { ...days(), from: "1970-01-01T00:00:00.000Z" };
    expect(usageChart(wrong, "tokens", NO_NAMES, NOW).at).toHaveLength(1_000);
  });

  it("draws each series on top of the larger ones below it", () => {
    const { series } = usageChart(days(), "calls", NO_NAMES, NOW);
    const layers = stacked(series);
    expect(layers.map(({ colour }) => colour)).toEqual([2, 1, 0]);
    expect(layers[0]?.values[3]).toBe(series.reduce((sum, { values }) => sum + (values[3] ?? 0), 0));
    expect(layers.at(-1)?.values).toEqual(series[0]?.values);
  });

  it("marks whole days or hours in UTC, as many as fit", () => {
    const from = Date.UTC(2026, 10, 17);
    expect(marks(from, from + 7 * DAY_MS, DAY_MS, 10)).toHaveLength(7);
    expect(marks(from, from + 90 * DAY_MS, DAY_MS, 10)).toHaveLength(7);
    expect(marks(from, from + DAY_MS, HOUR_MS, 8).map(markText)).toEqual(
      "17 Nov,03:00,06:00,09:00,12:00,15:00,18:00,21:00".split(","),
    );
    expect(columnText(from, DAY_MS)).toBe("17 Nov");
    expect(columnText(from + HOUR_MS, HOUR_MS)).toBe("17 Nov, 01:00 UTC");
  });
});
