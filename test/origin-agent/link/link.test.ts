// The link over real sockets, with a simulated edge and a real journal.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EdgeCommand } from "../../../origin-agent/link/edge-commands.ts";
import { Link, type LinkOptions } from "../../../origin-agent/link/link.ts";
import { openUsageJournal, type UsageJournal } from "../../../origin-agent/usage/journal.ts";
import { LINK_BOX_HEADER, MAX_BATCH_CALLS, MAX_FRAME_BYTES } from "../../../shared/wire.ts";
import { startEdgeDouble, type EdgeDouble } from "../support/edge-double.ts";
import { idleBox, usageCall } from "../support/link-samples.ts";
import { helloFrame } from "../../shared/support/frames.ts";
import { until } from "../../support/until.ts";

const TOKEN = "f".repeat(64);

let edge: EdgeDouble;
let folder: string;
let journal: UsageJournal;
let link: Link;
let commands: EdgeCommand[];
let log: Record<string, unknown>[];

/** Limits how far a freeze of this process advances the clock, so that pending messages are read before a timeout. */
const MAX_FREEZE_MS = 1_000;

let clockStopped = false;
let [linkNow, readAt] = [0, 0];

function clock(): number {
  const now = performance.now();
  if (!clockStopped) linkNow += Math.min(now - readAt, MAX_FREEZE_MS);
  readAt = now;
  return linkNow;
}

const openJournal = (epoch: string, alive: boolean): UsageJournal =>
  openUsageJournal({ folder, epoch, isAlive: () => alive, isAlone: () => false });

function makeLink(epoch = "epoch-1", draining = false, faults: Partial<LinkOptions> = {}): Link {
  const lines = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  return new Link({
    edgeUrl: edge.url,
    box: "north",
    token: TOKEN,
    hello: () => {
      const { t: _t, v: _v, ...hello } = helloFrame({ epoch });
      return hello;
    },
    snapshot: () => ({ ...idleBox(), draining }),
    journal,
    onCommand: (command) => void commands.push(command),
    log: pino({}, lines),
    clock,
    wallClock: Date.now,
    random: () => 0,
    ...faults,
  });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-link-"));
  edge = await startEdgeDouble();
  journal = openJournal("epoch-1", true);
  [commands, log] = [[], []];
  clockStopped = false;
  link = makeLink();
});
afterEach(async () => {
  await edge.close();
  await link.finish();
  await journal.close();
  await rm(folder, { recursive: true, force: true });
});

function endCalls(count: number): void {
  for (let at = 0; at < count; at += 1) {
    const { seq: _seq, outcome, promptTokens, cachedTokens, ...call } = usageCall(at);
    const { completionTokens, choices, estimated, durationMs, ...start } = call;
    journal.start(start)({
      outcome,
      promptTokens,
      cachedTokens,
      completionTokens,
      choices,
      estimated,
      durationMs,
    });
    link.callRecorded();
  }
}

const linesOf = (event: string): Record<string, unknown>[] => log.filter((line) => line["event"] === event);

describe("a link", () => {
  it("sends the box's name and token, then hello, then a snapshot", async () => {
    link.start();
    await edge.received("snapshot");
    expect(edge.upgrades[0]).toMatchObject({ [LINK_BOX_HEADER]: "north", "x-isha-token": TOKEN });
    expect(edge.frames[0]).toMatchObject({ t: "hello", v: 1, box: "north", epoch: "epoch-1" });
    expect(edge.frames[1]).toMatchObject({ t: "snapshot", seq: 1, draining: false });
    expect(edge.faults).toEqual([]);
  });

  it("sends each call once, in order, in batches, and acknowledges them in the journal", async () => {
    link.start();
    await edge.received("hello");
    endCalls(MAX_BATCH_CALLS + 50);
    await until(() => edge.booked.size === MAX_BATCH_CALLS + 50);
    const seqs = [...edge.booked.values()].map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(edge.twice).toEqual([]);
    await until(async () => (await journal.unacknowledged(1)) === null);
    const sizes = (await edge.received("usage")).map(({ calls }) => calls.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_BATCH_CALLS);
  });

  it("sends calls that the last link didn't acknowledge again over the next one", async () => {
    edge.switches.usage = "unacknowledged";
    link.start();
    await edge.received("hello");
    endCalls(3);
    await edge.received("usage");
    edge.switches.usage = "acknowledged";
    edge.cut();
    await until(async () => (await journal.unacknowledged(1)) === null);
    expect((await edge.received("hello", 2)).length).toBe(2);
    expect(edge.booked.size).toBe(3);
    expect(edge.twice).toEqual([]);
  });

  it("sends the calls of processes that have exited, under their own epochs", async () => {
    const before = openJournal("epoch-0", true);
    const mine = journal;
    journal = before;
    endCalls(2);
    await before.sync();
    journal = mine;
    const adopting = openJournal("epoch-1b", false);
    await adopting.adopt();
    journal = adopting;
    link = makeLink("epoch-1b");
    link.start();
    await until(() => edge.booked.size === 2);
    expect([...edge.booked.keys()].every((name) => name.startsWith("epoch-0 "))).toBe(true);
    await before.close();
  });

  it("passes the edge's commands on, and logs the fault of an invalid frame without its content", async () => {
    link.start();
    await edge.received("hello");
    edge.send({ t: "drain", at: 1 });
    edge.send({ t: "revoke", keyId: "key-1" });
    edge.send({ t: "restart", port: 9101 });
    edge.send('{"t":"restart","port":"marker-a"}');
    edge.send('{"t":"marker-of-the-next-release","port":1}');
    edge.send("marker-b");
    edge.send(Buffer.from("marker-c"));
    edge.send({ t: "resume", at: 2 });
    await until(() => commands.length === 4);
    expect(commands.map(({ t }) => t)).toEqual(["drain", "revoke", "restart", "resume"]);
    expect(linesOf("link-frame").map(({ reason }) => reason)).toEqual([
      `the frame's field "port" is invalid`,
      "the frame isn't JSON",
      "the frame isn't text",
    ]);
    expect(JSON.stringify(log)).not.toContain("marker");
  });

  it("sends the end of a restart at once, and one that ended without a link over the next", async () => {
    const ended = (id: string) =>
      ({ t: "restarted", id, port: 9000, outcome: "ready", tookMs: 9_120 }) as const;
    link.restarted(ended("req_before"));
    link.start();
    await edge.received("restarted");
    link.restarted(ended("req_after"));
    await until(() => edge.frames.filter(({ t }) => t === "restarted").length === 2);
    expect(edge.frames.filter(({ t }) => t === "restarted")).toEqual([
      ended("req_before"),
      ended("req_after"),
    ]);
    expect(edge.faults).toEqual([]);
  });

  it("ends on a frame that is too large, and dials again", async () => {
    link.start();
    await edge.received("hello");
    edge.send("x".repeat(MAX_FRAME_BYTES + 1));
    await edge.received("hello", 2);
    expect(commands).toEqual([]);
  });

  it("that is refused logs each status once, with advice and without the token", async () => {
    edge.switches.refuse = 503;
    link.start();
    await until(() => edge.upgrades.length >= 3);
    edge.switches.refuse = 401;
    await until(() => linesOf("link").length === 2);
    expect(linesOf("link")).toMatchObject([
      { state: "refused", status: 503 },
      { state: "refused", status: 401, advice: expect.stringContaining("BOX_SECRET") as unknown },
    ]);
    expect(JSON.stringify(log)).not.toContain(TOKEN);
  });

  it("is dialled again after a cut, and both are logged", async () => {
    link.start();
    await edge.received("hello");
    edge.cut();
    await edge.received("hello", 2);
    await until(() => linesOf("link").length === 3);
    expect(linesOf("link").map(({ state }) => state)).toEqual(["open", "lost", "open"]);
  });
});

describe("an exception", () => {
  const fail = (): never => {
    throw new RangeError("marker");
  };

  it("in a snapshot or a command ends that step: usage is still sent, later frames are handled, each fault is logged once", async () => {
    let commandsSeen = 0;
    link = makeLink("epoch-1", false, {
      snapshot: fail,
      onCommand: (command) => {
        commandsSeen += 1;
        if (command.t === "drain") fail();
        commands.push(command);
      },
    });
    link.start();
    await edge.received("hello");
    edge.send({ t: "drain", at: 1 });
    edge.send({ t: "revoke", keyId: "key-1" });
    endCalls(3);
    await until(() => edge.booked.size === 3 && commandsSeen === 2);
    expect(commands.map(({ t }) => t)).toEqual(["revoke"]);
    expect(new Set(linesOf("link-fault").map(({ reason }) => reason))).toEqual(
      new Set(["take-snapshot: RangeError", "command: RangeError"]),
    );
    expect(JSON.stringify(log)).not.toContain("marker");
  });

  it("in the hello doesn't keep the link from being dialled again", async () => {
    let isFaulty = true;
    const { t: _t, v: _v, ...hello } = helloFrame();
    link = makeLink("epoch-1", false, { hello: () => (isFaulty ? fail() : hello) });
    link.start();
    await until(() => linesOf("link-fault").length === 1);
    isFaulty = false;
    edge.cut();
    await edge.received("hello");
  });
});

describe("a reload", () => {
  it("has both agents linked, the old one as draining, until it sends bye", async () => {
    const old = link;
    const next = makeLink("epoch-2");
    link = makeLink("epoch-1", true);
    link.start();
    await edge.received("hello");
    next.start();
    const hellos = await edge.received("hello", 2);
    expect(hellos.map(({ epoch }) => epoch)).toEqual(["epoch-1", "epoch-2"]);
    const draining = (): boolean[] =>
      edge.frames.flatMap((frame) => (frame.t === "snapshot" ? [frame.draining] : []));
    await until(() => draining().includes(false));
    expect(draining()[0]).toBe(true);
    expect(edge.links()).toBe(2);
    await link.finish();
    await edge.received("bye");
    await until(() => edge.links() === 1);
    expect(next.isOpen).toBe(true);
    await Promise.all([next.finish(), old.finish()]);
  });
});

describe("a link's end", () => {
  it("comes after the last usage was acknowledged, with a bye", async () => {
    link.start();
    await edge.received("hello");
    endCalls(5);
    // Its 2 s must not expire before the acknowledgement arrives.
    clockStopped = true;
    await link.finish();
    expect(edge.booked.size).toBe(5);
    await edge.received("bye");
    expect(await journal.unacknowledged(1)).toBeNull();
    await until(() => edge.links() === 0);
  });

  it("doesn't wait for an edge that acknowledges nothing; the journal keeps the usage", async () => {
    edge.switches.usage = "ignored";
    link.start();
    await edge.received("hello");
    endCalls(2);
    await link.finish();
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(2);
  });

  it("comes at once if there is no edge", async () => {
    edge.switches.refuse = 503;
    link.start();
    endCalls(1);
    await link.finish();
    expect((await journal.unacknowledged(10))?.calls).toHaveLength(1);
  });
});
