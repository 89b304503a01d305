import { describe, expect, it } from "vitest";
import { causeText } from "../../../origin-agent/health/cause.ts";
import type { HealthEvent, Pm2Evidence } from "../../../origin-agent/health/record.ts";
import { ANSWERED, readyAt, Timeline } from "../support/health-timeline.ts";

const PM2_ONLINE: Pm2Evidence = { status: "online", pid: 100, restarts: 0, uptimeMs: 60_000 };

describe("what one answer of /health makes of a server", () => {
  it.each<[string, HealthEvent[], string, boolean]>([
    ["nothing heard yet", [], "down not-asked", false],
    ["200", [{ kind: "health", answer: "ok" }], "ready well", true],
    ["503", [{ kind: "health", answer: "loading" }], "loading loading", false],
    ["connection refused", [{ kind: "health", answer: "refused" }], "down refused", false],
    ["no answer, once, of a new server", [{ kind: "health", answer: "timeout" }], "down not-asked", false],
    [
      "a call refused after 200",
      [
        { kind: "health", answer: "ok" },
        { kind: "call", fate: "refused" },
      ],
      "down refused",
      false,
    ],
    [
      "a call that gets 503 after 200",
      [
        { kind: "health", answer: "ok" },
        { kind: "call", fate: "loading" },
      ],
      "loading loading",
      false,
    ],
    ["PM2's word alone, without /health", [{ kind: "pm2", process: PM2_ONLINE }], "down not-asked", false],
    [
      "200, although PM2 reports errored: a process answers there",
      [
        { kind: "pm2", process: { ...PM2_ONLINE, status: "errored", pid: null } },
        { kind: "health", answer: "ok" },
      ],
      "ready well",
      true,
    ],
  ])("%s", (_, events, word, usable) => {
    const timeline = new Timeline();
    for (const event of events) timeline.after(10).observe(event);
    expect(timeline.word).toBe(word);
    expect(timeline.view.usable).toBe(usable);
  });

  it("survives two probes without an answer, not three", () => {
    const timeline = readyAt();
    expect(timeline.after(1_000).health("timeout").after(1_000).health("other").state).toBe("ready");
    expect(timeline.after(1_000).health("timeout").word).toBe("down no-answer");
    expect(timeline.after(100).health("ok").state).toBe("ready");
  });

  it("isn't down for /health's silence while its calls get their tokens", () => {
    const timeline = readyAt();
    for (let round = 0; round < 10; round += 1) {
      timeline.after(500).health("timeout").after(500).observe({ kind: "tokens" });
      expect(timeline.state).toBe("ready");
    }
  });

  it("says since when, why, and how long the state before lasted", () => {
    const timeline = new Timeline()
      .at(100)
      .health("loading")
      .at(6_200)
      .health("ok")
      .at(9_000)
      .health("refused");
    expect(timeline.changes).toEqual([
      { at: 100, kind: "state", from: "down", to: "loading", cause: { tag: "loading" }, lastedMs: 100 },
      { at: 6_200, kind: "state", from: "loading", to: "ready", cause: { tag: "well" }, lastedMs: 6_100 },
      {
        at: 9_000,
        kind: "state",
        from: "ready",
        to: "down",
        cause: { tag: "refused", pm2: null },
        lastedMs: 2_800,
      },
    ]);
    expect(timeline.at(9_500).view).toMatchObject({ state: "down", text: "nothing listens", forMs: 500 });
  });
});

describe("calls that break", () => {
  it("make a server that says ok down after three in a row, until it decodes", () => {
    const timeline = readyAt(0).at(1_000);
    timeline.call({ fate: "broken" }).call({ fate: "broken" });
    expect(timeline.state).toBe("ready");
    expect(timeline.call({ fate: "broken" }).word).toBe("down calls-break");
    expect(timeline.after(100).health("ok").word).toBe("down calls-break");
    expect(timeline.oneToken({ end: "answered", ms: 30 }, 30).state).toBe("ready");
  });

  it("don't add up over calls that were answered", () => {
    const timeline = readyAt(0);
    for (let round = 0; round < 20; round += 1) {
      timeline.call({ fate: "broken" }).call({ fate: "broken" }).call(ANSWERED);
    }
    expect(timeline.state).toBe("ready");
  });
});

describe("PM2's word", () => {
  it.each<[Pm2Evidence["status"] | null, boolean]>([
    ["online", true],
    ["launching", true],
    ["waiting restart", true],
    ["stopping", true],
    ["stopped", false],
    ["errored", false],
    ["unknown", false],
    [null, false],
  ])("%s, of a server that refuses: worth waiting for is %s", (status, waitable) => {
    const timeline = readyAt(0)
      .at(1_000)
      .pm2(status === null ? null : { status })
      .at(2_000)
      .health("refused");
    expect(timeline.view).toMatchObject({ state: "down", usable: false, waitable });
  });

  it("is forgotten after ten seconds", () => {
    const timeline = readyAt(0).at(1_000).pm2({}).at(11_000).health("refused");
    expect(timeline.view.waitable).toBe(false);
    expect(timeline.record.cause).toEqual({ tag: "refused", pm2: null });
  });

  it("stopping takes a server out of use while it still says ok, until a new process answers", () => {
    const timeline = readyAt(0).at(1_000).pm2({ status: "stopping" }).at(1_100).health("ok");
    expect(timeline.word).toBe("down stopping");
    expect(timeline.view.waitable).toBe(true);
    timeline.at(1_500).health("refused").at(1_700).health("loading").at(4_000).health("ok");
    expect(timeline.state).toBe("ready");
  });

  it("reports a restart that fell between two probes: the old process's answer doesn't make the new one ready", () => {
    const timeline = readyAt(0).at(1_000).pm2({}).at(2_000).health("ok");
    timeline.at(2_900).pm2({ pid: 101, restarts: 1, uptimeMs: 300 });
    expect(timeline.word).toBe("loading restarted");
    expect(timeline.changes.at(-2)).toEqual({ kind: "restarted", restarts: 1, at: 2_900 });
    expect(timeline.at(3_000).health("ok").state).toBe("ready");
  });

  it("of a restart long since seen changes nothing", () => {
    const timeline = readyAt(0).at(1_000).pm2({}).at(2_000).health("refused").at(2_500).health("ok");
    timeline.at(5_000).pm2({ pid: 101, restarts: 1, uptimeMs: 2_900 });
    expect(timeline.state).toBe("ready");
    expect(timeline.view.restarts).toBe(1);
  });

  it("is reported as absent, not as 0, if there is none", () => {
    expect(readyAt(0).pm2(null).view.restarts).toBe(null);
  });
});

describe("how long a server takes to come up", () => {
  /** Dies, is refused for a second, loads, is ready. */
  const reload = (timeline: Timeline, loadMs: number): Timeline =>
    timeline
      .after(100_000)
      .health("ok")
      .pm2({})
      .after(1_000)
      .health("refused")
      .after(1_000)
      .health("loading")
      .after(loadMs)
      .health("ok");

  it("is learned from its death to readiness, and reported while it loads", () => {
    const timeline = readyAt(0);
    expect(timeline.view).toMatchObject({ usualLoadMs: null, remainingMs: null });
    for (const loadMs of [4_000, 9_000, 5_000]) reload(timeline, loadMs);
    expect(timeline.view).toMatchObject({ usualLoadMs: 6_000, remainingMs: null, state: "ready" });
    timeline.after(50_000).pm2({}).after(100).health("refused");
    expect(timeline.view.remainingMs).toBe(6_000);
    timeline.after(2_500).health("loading");
    expect(timeline.view).toMatchObject({ remainingMs: 3_500, waitable: true });
    timeline.after(9_500).health("loading");
    expect(timeline.view.remainingMs, "overdue: a quarter as long again").toBe(3_000);
  });

  it("isn't learned from a load that was under way before anybody looked, nor from an operator's long stop", () => {
    const timeline = new Timeline().at(5).health("loading").at(900).health("ok");
    expect(timeline.view.usualLoadMs).toBe(null);
    timeline.at(1_000).health("refused").pm2({ status: "stopped", pid: null });
    timeline.at(3_600_000).pm2({}).health("loading").at(3_605_000).health("ok");
    expect(timeline.view.usualLoadMs).toBe(5_000);
  });

  it("ends the waiting after two minutes, however often it dies on the way", () => {
    const timeline = readyAt(0).at(1_000);
    for (let round = 0; round < 29; round += 1) {
      timeline.pm2({}).health("refused").after(2_000).health("loading").after(2_000);
    }
    expect(timeline.now).toBeLessThan(122_000);
    expect(timeline.view.waitable).toBe(true);
    timeline.pm2({}).health("refused").after(4_000);
    expect(timeline.view.waitable).toBe(false);
  });
});

describe("a server that falls again and again", () => {
  const fall = (timeline: Timeline): Timeline =>
    timeline.after(2_000).health("refused").after(900).health("ok");

  it("is in use at once the first two times, then must decode a token first", () => {
    const timeline = readyAt(0);
    expect(fall(timeline).state).toBe("ready");
    expect(fall(timeline).state).toBe("ready");
    expect(fall(timeline).word).toBe("loading proving");
    expect(timeline.view).toMatchObject({ usable: false, waitable: true, cause: { falls: 3 } });
    expect(timeline.after(40).oneToken({ end: "answered", ms: 30 }, 30).state).toBe("ready");
  });

  it("isn't held back for more than ten seconds without a possible proof", () => {
    const timeline = fall(fall(fall(readyAt(0))));
    expect(timeline.after(9_900).health("ok").state).toBe("loading");
    expect(timeline.after(100).health("ok").state).toBe("ready");
  });

  it("starts again after a quiet minute", () => {
    const timeline = fall(fall(readyAt(0)));
    expect(fall(timeline.steady(60_000)).state).toBe("ready");
  });
});

it("describes every cause, without invented figures", () => {
  expect(causeText({ tag: "cpu-fallback", heldGib: null, weightsGib: 6.1 })).toBe(
    "on the CPU: uses ? GiB of GPU memory, its weights are 6.1",
  );
  expect(causeText({ tag: "slow-decode", tokensPerSecond: 1.234, usualTokensPerSecond: null })).toBe(
    "1.2 tokens/s, usually ?",
  );
  expect(causeText({ tag: "refused", pm2: "waiting restart" })).toBe(
    "nothing listens; PM2 reports waiting restart",
  );
});
