// A server that says it is well and decodes nothing: seen in time, and never believed on /health's word.
import { describe, expect, it } from "vitest";
import { PROMPT_STALL_MS, STALL_MS } from "../../../shared/limits.ts";
import { causeText } from "../../../origin-agent/health/cause.ts";
import { ANSWERED, busy, idle, readyAt, type Timeline } from "../support/health-timeline.ts";

describe("a server that hangs with /health 200", () => {
  it("is stalled 15 s after a running call's last token, and not a look sooner", () => {
    const timeline = readyAt(0).at(1_000).health("ok").slots(busy(1)).at(2_000).slots(busy(30));
    timeline.steady(STALL_MS - 1_000, [busy(30)]);
    expect(timeline.state).toBe("ready");
    timeline.steady(1_000, [busy(30)]);
    expect(timeline.word).toBe("stalled no-decode");
    expect(timeline.now).toBe(2_000 + STALL_MS);
    expect(timeline.view).toMatchObject({ usable: false, waitable: false });
    expect(causeText(timeline.record.cause)).toBe("no token for 15 s in slot 0");
  });

  it("has 30 s for a prompt that gets no further, and all the time for one that does", () => {
    const timeline = readyAt(0).at(1_000).health("ok").slots(busy(0, 0));
    timeline.steady(PROMPT_STALL_MS - 1_000, [busy(0, 0)]);
    expect(timeline.state).toBe("ready");
    for (let processed = 1; processed < 60; processed += 1) timeline.steady(2_000, [busy(0, processed)]);
    expect(timeline.state).toBe("ready");
    timeline.steady(PROMPT_STALL_MS, [busy(0, 59)]);
    expect(timeline.word).toBe("stalled no-prompt-progress");
  });

  it("isn't brought back by /health, however often it says ok", () => {
    const timeline = readyAt(0)
      .at(1_000)
      .slots(busy(30))
      .steady(STALL_MS, [busy(30)]);
    expect(timeline.state).toBe("stalled");
    expect(timeline.steady(600_000, [busy(30)]).state).toBe("stalled");
    expect(timeline.steady(600_000, [idle()]).state).toBe("stalled");
  });

  it("isn't brought back by a silence of /health between two ok either", () => {
    const timeline = readyAt(0)
      .at(1_000)
      .slots(busy(30))
      .steady(STALL_MS, [busy(30)]);
    for (let round = 0; round < 3; round += 1) timeline.after(1_000).health("timeout");
    expect(timeline.word).toBe("down no-answer");
    expect(timeline.after(1_000).health("ok").word).toBe("stalled no-decode");
  });

  it.each<[string, (timeline: Timeline) => Timeline, string]>([
    ["a one-token call that is answered", (t) => t.oneToken({ end: "answered", ms: 40 }, 40), "ready"],
    ["a one-token call without an answer", (t) => t.oneToken({ end: "timeout" }, 5_000), "stalled"],
    ["a one-token call that gets an error", (t) => t.oneToken({ end: "error" }, 5), "stalled"],
    ["a token in /slots", (t) => t.slots(busy(31)), "ready"],
    ["a new task without a token", (t) => t.slots(busy(0, 0, 8)), "stalled"],
    ["a new task's first token", (t) => t.slots(busy(1, 9, 8)), "ready"],
    ["tokens of a running stream", (t) => t.observe({ kind: "tokens" }), "ready"],
    ["a whole answer", (t) => t.call(ANSWERED), "ready"],
    [
      "an answer that took no work",
      (t) => t.call({ ...ANSWERED, decodedTokens: 0, promptTokens: 0 }),
      "stalled",
    ],
    ["its slot falling idle", (t) => t.slots(idle()), "stalled"],
    ["another call that breaks", (t) => t.call({ fate: "broken" }), "stalled"],
    [
      "a new process: refused, loading, ok",
      (t) => t.health("refused").health("loading").health("ok"),
      "ready",
    ],
    [
      "PM2's word for a process started since",
      (t) => t.pm2({ pid: 100 }).after(5_000).pm2({ pid: 101, restarts: 1, uptimeMs: 2_000 }).health("ok"),
      "ready",
    ],
    [
      "PM2's word for one started long before",
      (t) => t.pm2({ pid: 100 }).after(5_000).pm2({ pid: 100, restarts: 0, uptimeMs: 90_000 }).health("ok"),
      "stalled",
    ],
  ])("%s", (_, then, state) => {
    const timeline = readyAt(0)
      .at(1_000)
      .pm2({})
      .slots(busy(30))
      .steady(STALL_MS, [busy(30)]);
    expect(timeline.word).toBe("stalled no-decode");
    expect(then(timeline.after(500)).state).toBe(state);
  });

  it("is stalled if /slots answered before and is silent for 30 s; not if it never answered", () => {
    expect(readyAt(0).steady(1_000).steady(31_000, null).word).toBe("stalled slots-silent");
    expect(readyAt(0).steady(600_000, null).state).toBe("ready");
  });

  it("is stalled if /slots falls silent during a running call", () => {
    const timeline = readyAt(0).at(1_000).slots(busy(30)).steady(STALL_MS, null);
    expect(timeline.word).toBe("stalled no-decode");
  });

  it("believes a call's own watchdog, unless other calls got their tokens", () => {
    expect(readyAt(0).at(20_000).call({ fate: "stalled" }).word).toBe("stalled call-stalled");
    expect(
      readyAt(0).at(20_000).observe({ kind: "tokens" }).after(1_000).call({ fate: "stalled" }).state,
    ).toBe("ready");
  });

  it("with nothing to do is stalled after two one-token calls without an answer", () => {
    const timeline = readyAt(0).at(60_000).health("ok").oneToken({ end: "timeout" }, 5_000);
    expect(timeline.state).toBe("ready");
    expect(timeline.after(1_000).oneToken({ end: "timeout" }, 5_000).word).toBe(
      "stalled one-token-unanswered",
    );
  });

  it("isn't doubted for a one-token call that waited behind calls that got their tokens", () => {
    const timeline = readyAt(0).at(60_000);
    for (let round = 0; round < 5; round += 1) {
      timeline.observe({ kind: "one-token-sent" }).after(3_000).observe({ kind: "tokens" });
      timeline.after(2_000).observe({ kind: "one-token", outcome: { end: "timeout" } });
    }
    expect(timeline.state).toBe("ready");
  });
});

describe("one slot that stands still on a server that decodes", () => {
  const both = (first: number, second: number): ReturnType<typeof busy>[] => [
    busy(first, 40, 7, 0),
    busy(second, 40, 8, 1),
  ];

  it("is reported, and the server stays in use", () => {
    const timeline = readyAt(0)
      .at(1_000)
      .health("ok")
      .slots(...both(5, 1));
    for (let token = 2; token < 60; token += 1) timeline.steady(1_000, both(5, token));
    expect(timeline.state).toBe("ready");
    expect(timeline.view.stuckSlots).toEqual([0]);
    expect(timeline.changes).toContainEqual({ kind: "slot-stuck", slot: 0, at: 16_000 });
    timeline.steady(1_000, [idle(0), busy(61, 40, 8, 1)]);
    expect(timeline.changes.at(-1)).toMatchObject({ kind: "slot-freed", slot: 0 });
  });

  it("doesn't make the server stalled again and again once that is refuted", () => {
    const timeline = readyAt(0)
      .at(1_000)
      .slots(...both(5, 1));
    for (let token = 2; token < 10; token += 1) timeline.steady(1_000, both(5, token));
    timeline.steady(20_000, [busy(5, 40, 7, 0), idle(1)]);
    expect(timeline.state).toBe("stalled");
    timeline.oneToken({ end: "answered", ms: 30 }, 30);
    expect(timeline.steady(600_000, [busy(5, 40, 7, 0), idle(1)]).state).toBe("ready");
    expect(timeline.view.stuckSlots).toEqual([0]);
  });

  it("doesn't hide that the server hangs later", () => {
    const timeline = readyAt(0)
      .at(1_000)
      .slots(...both(5, 1));
    for (let token = 2; token < 60; token += 1) timeline.steady(1_000, both(5, token));
    timeline.steady(STALL_MS, both(5, 59));
    expect(timeline.word).toBe("stalled no-decode");
    expect(timeline.record.cause).toMatchObject({ slot: 1 });
  });
});

describe("a frozen process", () => {
  const silentFor = (ms: number): Timeline => {
    const timeline = readyAt(0).at(1_000).health("ok").slots(busy(30));
    for (let at = 2_000; at <= 1_000 + ms; at += 1_000) timeline.at(at).health("timeout").noSlots();
    return timeline;
  };

  it("is down after three probes, and stalled after 10 s without an answer: its calls are broken off", () => {
    expect(silentFor(9_000).word).toBe("down no-answer");
    const timeline = silentFor(10_000);
    expect(timeline.word).toBe("stalled frozen");
    expect(causeText(timeline.record.cause)).toBe("no answer, byte or token for 10 s; its process is frozen");
  });

  it("is none while tokens arrive or /slots is answered", () => {
    expect(silentFor(9_000).observe({ kind: "tokens" }).at(11_000).health("timeout").word).not.toContain(
      "frozen",
    );
    expect(silentFor(9_000).slots(busy(30)).at(11_000).health("timeout").word).toBe("down no-answer");
  });

  it("is ready as soon as it answers /health again", () => {
    expect(silentFor(12_000).at(13_500).health("ok").state).toBe("ready");
  });
});
