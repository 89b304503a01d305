import { describe, expect, it } from "vitest";
import { pauseMs } from "../../console/api/backoff.ts";
import { durationWords, sinceWords } from "../../console/model/duration.ts";
import { counted, figure, latency, share, tokens } from "../../console/model/figure.ts";
import { historyCharts } from "../../console/model/history-charts.ts";
import { freshness, GIVE_UP_AFTER_MS, NO_LINK, STALE_AFTER_MS } from "../../console/model/freshness.ts";
import { memoryBar } from "../../console/model/memory-bar.ts";
import { codeRows, isOurs } from "../../console/model/traffic.ts";
import { FleetHistory } from "../../shared/fleet-view.ts";
import { FakeFleet } from "./support/fake-fleet.ts";
import { busyFleet, newFleet } from "./support/scenes.ts";

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0);
const clock = (): number => NOW;

describe("figures", () => {
  it.each([
    [0, "0 s"],
    [12_900, "12 s"],
    [200_000, "3 min 20 s"],
    [180_000, "3 min"],
    [47 * 60_000 + 20_000, "47 min"],
    [2 * 3_600_000 + 5 * 60_000, "2 h 5 min"],
    [30 * 3_600_000, "1 d 6 h"],
    [-5, "0 s"],
  ])("%i ms is %s", (ms, words) => expect(durationWords(ms)).toBe(words));

  it("what nobody could tell is a dash, never 0", () => {
    expect([figure(null), figure(undefined), figure(Number.NaN), latency(null)]).toEqual([
      "–",
      "–",
      "–",
      "–",
    ]);
    expect(sinceWords(null, NOW)).toBe("");
  });

  it("are as long as they are of use", () => {
    expect([latency(280), latency(1449), latency(48_000)]).toEqual(["280 ms", "1.4 s", "48 s"]);
    expect([tokens(850), tokens(12_400), tokens(3_100_000)]).toEqual(["850", "12.4 k", "3.1 M"]);
    expect([counted(1, "server"), counted(5, "server"), counted(50, "box", "boxes")]).toEqual([
      "one server",
      "five servers",
      "50 boxes",
    ]);
  });

  it("a share stays between 0 and 1, whatever a box claims", () => {
    expect([share(30, 24), share(-1, 24), share(1, 0), share(null, 24), share(Number.NaN, 24)]).toEqual([
      1, 0, 0, 0, 0,
    ]);
  });
});

describe("the memory bar", () => {
  it("has a segment a server and one for the rest, out of the card", () => {
    const bar = memoryBar(new FakeFleet(clock).box());
    expect(bar.segments.map(({ key }) => key)).toEqual(["8080", "8081", "8082", "8084", "8085", "rest"]);
    expect(bar.segments.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo((bar.usedGib ?? 0) / 24, 3);
    expect(bar.text).toBe("23.0 GiB of 24.0 GiB in use, 23.1 GiB planned");
  });

  it("marks who holds more than was planned", () => {
    const fleet = new FakeFleet(clock);
    fleet.server(8081).gpuGib = fleet.server(8081).budgetGib * 1.2;
    expect(
      memoryBar(fleet.box())
        .segments.filter(({ overBudget }) => overBudget)
        .map(({ key }) => key),
    ).toEqual(["8081"]);
  });

  it("is of all the box's cards: its servers' memory is summed over them too", () => {
    const box = new FakeFleet(clock).box();
    const one = memoryBar(box);
    const [card] = box.gpus ?? [];
    if (card === undefined) throw new Error("the box has a card");
    const two = memoryBar({ ...box, gpus: [card, { ...card, memoryUsedGib: 2, memoryTotalGib: 16 }] });
    expect(two.cardGib).toBe(one.cardGib + 16);
    expect(two.usedGib).toBeCloseTo((one.usedGib ?? 0) + 2);
    expect(two.segments.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo((two.usedGib ?? 0) / 40, 3);
  });

  it("says that it isn't known where nothing was heard", () => {
    expect(memoryBar(newFleet(clock).box()).text).toBe("not known; 23.1 GiB planned of 24.0 GiB");
  });
});

describe("charts of the history", () => {
  const fleet = busyFleet(clock);
  const ports = fleet.box().servers.map(({ port }) => port);

  it("stack the servers' memory in the palette's order and read the whole", () => {
    const [memory] = historyCharts(fleet.history("box1", 15), ports, 24, 8);
    expect(memory?.stacked).toBe(true);
    expect(memory?.colours).toEqual([4, 3, 2, 1, 0]);
    const last = memory?.columns.map((column) => column.at(-1) ?? 0) ?? [];
    expect(last).toEqual([...last].sort((a, b) => b - a));
    expect(memory?.read(0)).toBe("23.0 GiB");
  });

  it("leave a gap where nothing was known, and say each curve in a sentence", () => {
    const [, utilisation] = historyCharts(fleet.history("box1", 1440), ports, 24, 8);
    expect(utilisation?.columns[0]?.[32]).toBeNull();
    expect(utilisation?.read(32)).toBe("–");
    expect(utilisation?.text).toMatch(/^Utilisation: now \d+ %, between \d+ % and \d+ %$/);
  });

  it("of an empty history say so", () => {
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

describe("how fresh it is", () => {
  const open = { ...NO_LINK, phase: "open", wordAt: NOW } as const;

  it("is live until the edge owes a word, and then says since when", () => {
    expect(freshness(open, NOW + STALE_AFTER_MS - 1)).toMatchObject({ stale: false, word: "live" });
    expect(freshness(open, NOW + 9_000)).toMatchObject({
      stale: true,
      text: "No word from the edge since 9 s. The stream is open still.",
    });
  });

  it("says why, and when the next try is", () => {
    const waiting = {
      phase: "waiting",
      wordAt: NOW,
      retryAt: NOW + 11_000,
      problem: "the stream broke",
    } as const;
    expect(freshness(waiting, NOW + 8_000).text).toBe(
      "No word from the edge since 8 s (the stream broke). The next try is in 3 s.",
    );
  });

  it("a stream is given up only after it was called stale", () => {
    expect(GIVE_UP_AFTER_MS).toBeGreaterThan(STALE_AFTER_MS);
  });

  it("pauses between tries double, are jittered and end at 15 s", () => {
    expect([1, 2, 3, 6, 50].map((failures) => pauseMs(failures, 1))).toEqual([
      500, 1000, 2000, 15_000, 15_000,
    ]);
    expect(pauseMs(6, 0)).toBe(7_500);
  });
});

it("codes are told apart by whose doing they are, the most frequent first", () => {
  expect(codeRows(busyFleet(clock).traffic).map(({ name, ours }) => [name, ours])).toEqual([
    ["rate_limited_key", false],
    ["invalid_key", false],
    ["overloaded", true],
    ["upstream_failed", true],
  ]);
  expect(isOurs("a_code_of_tomorrow")).toBe(true);
});
