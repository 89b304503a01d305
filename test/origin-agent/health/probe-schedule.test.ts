import { describe, expect, it } from "vitest";
import { nextProbeAt, type ProbesDue } from "../../../origin-agent/health/probe-schedule.ts";
import { ANSWERED, busy, readyAt, Timeline, wantsOneToken } from "../support/health-timeline.ts";

const due = ({ record, now }: Timeline): ProbesDue => nextProbeAt(record, now);
const wants = ({ record, now }: Timeline): boolean => wantsOneToken(record, now);

describe("when /health is asked next", () => {
  it.each<[string, Timeline, number]>([
    ["immediately, for a server that was never probed", new Timeline().at(50), 50],
    ["in a second, of one that is well", readyAt(0).at(5_000).health("ok"), 6_000],
    ["in 100 ms, of one that is down", readyAt(0).at(5_000).health("refused"), 5_100],
    ["in 100 ms, of one that is loading", readyAt(0).at(5_000).health("loading"), 5_100],
    ["in 100 ms, after one silence", readyAt(0).at(5_000).health("timeout"), 5_100],
    [
      "at once, after a call broke",
      readyAt(0).at(5_000).health("ok").at(5_400).call({ fate: "broken" }),
      5_100,
    ],
    [
      "at once, after a call was refused",
      readyAt(0).at(5_000).health("ok").at(5_400).call({ fate: "refused" }),
      5_100,
    ],
    [
      "as ever, two seconds after that",
      readyAt(0).at(5_000).call({ fate: "broken" }).at(7_000).health("ok"),
      8_000,
    ],
  ])("%s", (_, timeline, at) => {
    expect(due(timeline).health).toBe(at);
  });

  it("after half a second, for a server that has been down for a minute and isn't coming up", () => {
    const timeline = readyAt(0).at(5_000).health("refused").at(65_000).health("refused");
    expect(due(timeline)).toMatchObject({ health: 65_500, slots: null, oneToken: null });
    timeline.pm2({ status: "launching" }).health("refused");
    expect(due(timeline).health, "PM2 does").toBe(65_100);
  });
});

it("a server that refuses our key is probed once a second, and gets no one-token call", () => {
  const timeline = readyAt(0).at(5_000).observe({ kind: "slots", slots: "wrong-key" });
  expect(timeline.view).toMatchObject({ state: "down", usable: false, cause: { tag: "wrong-key" } });
  expect(timeline.view.text).toMatch(/LLAMA_API_KEY.*--api-key-file/);
  expect(due(timeline.health("ok"))).toEqual({ health: 6_000, slots: 6_000, oneToken: null });
  expect(timeline.at(7_000).slots().view.state).toBe("ready");
});

it("/slots is asked each second of a server that says ok, and not of another", () => {
  expect(due(readyAt(0).at(5_000).slots()).slots).toBe(6_000);
  expect(due(readyAt(0).at(5_000).slots().health("loading")).slots).toBe(null);
  expect(due(readyAt(0).at(5_000).slots().health("refused")).slots).toBe(null);
});

describe("a one-token call is wanted", () => {
  it("at once of a process that never decoded anything, and once", () => {
    const timeline = new Timeline().at(100).health("ok");
    expect(wants(timeline)).toBe(true);
    timeline.observe({ kind: "one-token-sent" });
    expect(wants(timeline.after(3_000))).toBe(false);
    timeline.observe({ kind: "one-token", outcome: { end: "answered", ms: 50 } });
    expect(wants(timeline.after(1_000).health("ok"))).toBe(false);
  });

  it("after a minute without a token, and not sooner", () => {
    const timeline = readyAt(0).at(10_000).call(ANSWERED);
    expect(wants(timeline.at(69_999).health("ok"))).toBe(false);
    expect(wants(timeline.at(70_000).health("ok"))).toBe(true);
  });

  it("never beside a running call that is watched, nor of a server that is down, loading or on its way out", () => {
    expect(wants(readyAt(0).at(90_000).slots(busy(3)))).toBe(false);
    expect(wants(readyAt(0).at(90_000).health("refused"))).toBe(false);
    expect(wants(readyAt(0).at(90_000).health("loading"))).toBe(false);
    expect(wants(readyAt(0).at(90_000).pm2({ status: "stopping" }))).toBe(false);
    expect(wants(new Timeline().at(90_000))).toBe(false);
  });

  it("of a stalled server at once, and a second after each that failed", () => {
    const timeline = readyAt(0).at(20_000).call({ fate: "stalled" });
    expect(timeline.state).toBe("stalled");
    expect(wants(timeline)).toBe(true);
    timeline.oneToken({ end: "timeout" }, 5_000);
    expect(wants(timeline.after(999))).toBe(false);
    expect(wants(timeline.after(1))).toBe(true);
  });

  it("of an idle one again a second after the first that failed", () => {
    const timeline = readyAt(0).at(90_000).health("ok").oneToken({ end: "timeout" }, 5_000);
    expect(timeline.state).toBe("ready");
    expect(due(timeline).oneToken).toBe(96_000);
  });

  it("of a slow one every ten seconds, so as to see it get well", () => {
    const timeline = readyAt(0).at(5_000).gpu(0).at(10_050).gpu(0);
    expect(timeline.state).toBe("slow");
    expect(wants(timeline)).toBe(true);
    timeline.oneToken({ end: "answered", ms: 900 }, 900);
    expect(due(timeline).oneToken).toBe(timeline.now + 10_000);
  });

  it("again after 30 s, if its end was never reported", () => {
    const timeline = readyAt(0).at(90_000).health("ok").observe({ kind: "one-token-sent" });
    expect(wants(timeline.at(119_999))).toBe(false);
    expect(wants(timeline.at(120_000))).toBe(true);
  });

  it("not again and again of a server that answers it with an error, as one that only embeds does", () => {
    const timeline = new Timeline().at(100).health("ok").oneToken({ end: "error" }, 5);
    expect(timeline.state).toBe("ready");
    expect(due(timeline).oneToken).toBe(60_105);
  });
});
