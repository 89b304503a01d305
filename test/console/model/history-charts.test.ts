import { describe, expect, it } from "vitest";
import { historyCharts, withGaps } from "../../../console/model/history-charts.ts";
import { FleetHistory } from "../../../shared/fleet-view.ts";
import { busyFleet } from "../support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;

describe("charts of the history", () => {
  const fleet = busyFleet(clock);
  const ports = fleet.box().servers.map(({ port }) => port);

  it("stack the servers' memory in the palette's order and show the total", () => {
    const [memory] = historyCharts(fleet.history("box1", 15), ports, 24, 8);
    expect(memory?.stacked).toBe(true);
    expect(memory?.colours).toEqual([4, 3, 2, 1, 0]);
    const last = memory?.columns.map((column) => column.at(-1) ?? 0) ?? [];
    expect(last).toEqual([...last].sort((a, b) => b - a));
    expect(memory?.read(0)).toBe("23.0 GiB");
  });

  it("leave gaps for unknown values, and describe each curve in a sentence", () => {
    const [, utilisation] = historyCharts(fleet.history("box1", 1440), ports, 24, 8);
    expect(utilisation?.columns[0]?.[32]).toBeNull();
    expect(utilisation?.read(32)).toBe("–");
    expect(utilisation?.text).toMatch(/^Utilisation: now \d+ %, between \d+ % and \d+ %$/);
  });

  it("of a box that fell silent end now, with unknown figures, so that its last ones don't look current", () => {
    const history = fleet.history("box1", 15);
    const last = history.at.at(-1) ?? 0;
    expect(withGaps(history, last + 29_000)).toBe(history);
    const charts = historyCharts(withGaps(history, last + 60_000), ports, 24, 8);
    for (const chart of charts) {
      expect(chart.columns[0]).toHaveLength(history.at.length + 1);
      expect(chart.columns[0]?.at(-1)).toBeNull();
    }
    expect(charts[1]?.text).toMatch(/^Utilisation: now unknown/);
  });

  it("of a box that was silent for a while have a gap: no curve crosses it", () => {
    const full = fleet.history("box1", 15);
    const [last, stepMs] = [full.at.at(-1) ?? 0, full.stepS * 1000];
    const at = full.at.map((time, index) => (index < 5 ? time - 10 * stepMs : time));
    const charts = historyCharts(withGaps({ ...full, at }, last), ports, 24, 8);
    for (const chart of charts) {
      expect(chart.columns[0]).toHaveLength(full.at.length + 1);
      expect(chart.columns[0]?.[5]).toBeNull();
      expect(chart.columns[0]?.[4]).not.toBeNull();
    }
    expect(withGaps({ ...full, at }, last).at.slice(4, 7)).toEqual([at[4], (at[4] ?? 0) + stepMs, at[5]]);
  });

  it("describe an empty history as empty", () => {
    const history = FleetHistory.parse({
      box: "box1",
      stepS: 10,
      at: [],
      memoryUsedGib: [],
      utilizationPercent: [],
      temperatureC: [],
      powerWatts: [],
      tokensPerSecond: [],
      busy: [],
      waiting: [],
      serverGib: {},
    });
    expect(historyCharts(history, ports, 24, 8)[0]?.text).toBe("GPU memory: nothing recorded yet");
  });
});
