// A server that is far slower than it should be: on the CPU, or against its own past.
import { describe, expect, it } from "vitest";
import { busy, readyAt, Timeline, WEIGHTS_GIB } from "../support/health-timeline.ts";

describe("a server on the CPU", () => {
  it("is slow after two readings of its card's memory, taken once it was up", () => {
    const timeline = readyAt(0).at(500).gpu(0).at(3_000).gpu(0);
    expect(timeline.state).toBe("ready");
    timeline.at(4_000).gpu(0, 3_000);
    expect(timeline.state, "the same reading twice is one").toBe("ready");
    timeline.at(8_000).gpu(0);
    expect(timeline.record.cause).toEqual({ tag: "cpu-fallback", heldGib: 0, weightsGib: WEIGHTS_GIB });
    expect(timeline.view).toMatchObject({ state: "slow", usable: true, preferred: false });
  });

  it.each<[string, number | null, string]>([
    ["all of it", 6.9, "ready"],
    ["a little over half of its weights", WEIGHTS_GIB / 2 + 0.01, "ready"],
    ["a little under half", WEIGHTS_GIB / 2 - 0.01, "slow"],
    ["nothing", 0, "slow"],
    ["unknown memory", null, "ready"],
  ])("holds %s", (_, gib, state) => {
    const timeline = readyAt(0);
    for (let at = 5_000; at <= 60_000; at += 5_000) timeline.at(at).gpu(gib);
    expect(timeline.state).toBe(state);
  });

  it("isn't judged if the fleet file states no weights", () => {
    const timeline = new Timeline(null).health("ok");
    for (let at = 5_000; at <= 60_000; at += 5_000) timeline.at(at).gpu(0);
    expect(timeline.state).toBe("ready");
    expect(timeline.view.gpuGib).toBe(0);
  });

  it("is ready again once its memory is there, or a new process holds it", () => {
    const slow = (): Timeline => readyAt(0).at(5_000).gpu(0).at(10_000).gpu(0);
    expect(slow().at(15_000).gpu(6.8).state).toBe("ready");
    expect(slow().at(15_000).gpu(null).state, "unknown refutes nothing").toBe("slow");
    expect(slow().at(15_000).health("refused").at(15_100).health("ok").state).toBe("ready");
  });

  it("is ready again once its speed is right, and the same low reading isn't believed again", () => {
    const timeline = readyAt(0);
    for (let call = 0; call < 10; call += 1) timeline.after(100).answered(70, 1_000);
    timeline.after(5_000).gpu(0).after(5_000).gpu(0);
    expect(timeline.state).toBe("slow");
    timeline.answered(70, 1_000).answered(70, 1_000);
    expect(timeline.state, "two calls prove little").toBe("slow");
    expect(timeline.answered(70, 1_000).state).toBe("ready");
    for (let reading = 0; reading < 10; reading += 1) timeline.after(5_000).gpu(0);
    expect(timeline.state).toBe("ready");
    timeline.after(5_000).gpu(6.8).after(5_000).gpu(0).after(5_000).gpu(0);
    expect(timeline.state, "a reading that was right makes later ones count").toBe("slow");
  });

  it("is ready again once two one-token calls take no longer than they used to", () => {
    const timeline = readyAt(0);
    for (let call = 0; call < 4; call += 1) timeline.after(60_000).oneToken({ end: "answered", ms: 40 }, 40);
    timeline.after(5_000).gpu(0).after(5_000).gpu(0);
    timeline.oneToken({ end: "answered", ms: 900 }, 900).oneToken({ end: "answered", ms: 60 }, 60);
    expect(timeline.state).toBe("slow");
    expect(timeline.oneToken({ end: "answered", ms: 60 }, 60).state).toBe("ready");
  });
});

describe("a server slower than its own past", () => {
  const learned = (): Timeline => {
    const timeline = readyAt(0);
    for (let call = 0; call < 20; call += 1) timeline.after(1_000).answered(60 + (call % 3) * 10, 1_000);
    return timeline;
  };

  it.each<[string, number, number, string]>([
    ["a fifth of the usual, as beside four busy neighbours", 14, 50, "ready"],
    ["a tenth, for two calls", 7, 2, "ready"],
    ["a tenth, for six calls", 7, 6, "slow"],
    ["a hundredth, for six calls", 0.7, 6, "slow"],
  ])("%s", (_, tokensPerSecond, calls, state) => {
    const timeline = learned();
    for (let call = 0; call < calls; call += 1) {
      timeline.after(1_000).answered(100, (100 * 1_000) / tokensPerSecond);
    }
    expect(timeline.state).toBe(state);
  });

  it("is noticed under one long call, from /slots, within 20 s", () => {
    const timeline = learned().after(1_000).slots(busy(1));
    const from = timeline.now;
    for (let look = 1; look <= 20 && timeline.state === "ready"; look += 1) {
      timeline.steady(1_000, [busy(1 + Math.floor(look * 0.9))]);
    }
    expect(timeline.word).toBe("slow slow-decode");
    expect(timeline.now - from).toBeLessThanOrEqual(20_000);
    expect(timeline.view).toMatchObject({ usable: true, preferred: false, usualDecodePerSecond: 70 });
  });

  it("is ready again after a few calls at its usual speed, and has not learned to be slow", () => {
    const timeline = learned();
    for (let call = 0; call < 500; call += 1) timeline.after(1_000).answered(10, 10_000);
    expect(timeline.view).toMatchObject({ state: "slow", usualDecodePerSecond: 70 });
    for (let call = 0; call < 4; call += 1) timeline.after(1_000).answered(70, 1_000);
    expect(timeline.state).toBe("ready");
  });

  it("isn't judged by a past it hasn't got, nor by calls of a few tokens", () => {
    const young = readyAt(0).answered(70, 1_000);
    for (let call = 0; call < 6; call += 1) young.answered(10, 10_000);
    expect(young.state).toBe("ready");
    const timeline = learned();
    for (let call = 0; call < 50; call += 1) timeline.answered(3, 5_000);
    expect(timeline.state).toBe("ready");
  });

  it("takes no speed from figures that are none", () => {
    const timeline = readyAt(0);
    for (const [tokens, ms] of [
      [Number.NaN, 1_000],
      [70, 0],
      [70, Number.NaN],
      [-70, 1_000],
      [70, -5],
      [Infinity, 5],
    ] as const) {
      timeline.answered(tokens, ms);
    }
    expect(timeline.view).toMatchObject({
      state: "ready",
      decodePerSecond: null,
      usualDecodePerSecond: null,
    });
  });
});
