// Links of agents over real WebSockets to the real fleet object, with the real ledger behind it.
import { env } from "cloudflare:workers";
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { ledgerObject } from "../../../../worker/stubs.ts";
import { LINK_CLOSE, PING, PONG } from "../../../../shared/wire.ts";
import { dial, hello, linked, linkServer, newFleet, snapshot, type Agent } from "../../support/agents.ts";
import { stopClock } from "../../support/edge.ts";
import { call, sumsBy } from "../../support/usage.ts";
import { untilHolds } from "../../support/until.ts";

/** Far ahead of the real clock, by which the platform runs alarms: none runs here. */
const START = Date.parse("2096-11-23T12:00:00Z");
let clock: ReturnType<typeof stopClock>;
beforeEach(() => void (clock = stopClock(START)));

/** A box, an epoch and a key that no other test books for: all tests share the deployment's ledger. */
const named = () => ({
  box: `box-${crypto.randomUUID()}`,
  epoch: `epoch-${crypto.randomUUID()}`,
  key: `key-${crypto.randomUUID()}`,
});

const usage = (epoch: string, ackedSeq: number, seqs: readonly number[], keyId = "key-a") => ({
  t: "usage",
  epoch,
  ackedSeq,
  calls: seqs.map((seq) => call(seq, { keyId })),
});

const acks = (agent: Agent): number[] =>
  agent.frames.flatMap((frame) => (frame.t === "ack" ? [frame.lastSeq] : []));

async function booked(key: string): Promise<number> {
  return (await sumsBy(ledgerObject(env), "key", { key }))[key]?.calls ?? 0;
}

describe("the report of a box", () => {
  it("has ages, and lists each process of its agent separately", async () => {
    const fleet = newFleet();
    const old = await linked(fleet, "north", "epoch-1");
    old.send({ t: "bye" });
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.leaving).toBe(true));
    clock.to(START + 1_000);
    const young = await linked(fleet, "north", "epoch-2");
    clock.to(START + 3_000);
    young.send(snapshot(7));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(7));
    clock.to(START + 10_000);
    expect((await fleet.boxes())[0]).toMatchObject({
      box: "north",
      version: "1.2.3",
      lastSeenAgoMs: 7_000,
      agents: [
        {
          epoch: "epoch-2",
          linkedForMs: 9_000,
          lastSeenAgoMs: 7_000,
          leaving: false,
          ports: [9000],
          snapshot: { seq: 7 },
          snapshotAgoMs: 7_000,
        },
        { epoch: "epoch-1", lastSeenAgoMs: 10_000, leaving: true, snapshot: null, snapshotAgoMs: null },
      ],
    });
    expect(old.closed).toEqual([]);
  });

  it("survives hibernation, and so do the links", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    agent.send(snapshot(7, { draining: true }));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(7));
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    expect((await fleet.boxes())[0]?.agents).toMatchObject([
      {
        epoch: "epoch-1",
        snapshot: { seq: 7, draining: true, servers: [{ port: 9000, tokensPerSecond: 31.5 }] },
      },
    ]);
    agent.send(snapshot(8));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(8));
    await fleet.revoke("key-a");
    await untilHolds(() => expect(agent.frames).toContainEqual({ t: "revoke", keyId: "key-a" }));
  });

  it("is complete for a box with 64 servers, and is shortened in hibernation if it doesn't fit", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    const ports = Array.from({ length: 64 }, (_, at) => 9000 + at);
    agent.send(hello({ servers: ports.map((port) => ({ port, model: "M".repeat(128) })) }));
    const servers = ports.map((port) => linkServer(port, { why: "語".repeat(200), waitMs: 1e12 / 3 }));
    agent.send(snapshot(7, { servers }));
    await untilHolds(async () =>
      expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.servers).toEqual(servers),
    );
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    const [kept] = (await fleet.boxes())[0]?.agents ?? [];
    expect(kept?.ports).toEqual(ports);
    expect(kept?.snapshot?.servers.map(({ port, state, busy }) => [port, state, busy])).toEqual(
      ports.map((port) => [port, "ready", 1]),
    );
  });

  it("has only its age once the link is closed", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    clock.to(START + 1_000);
    agent.close(1000, "going");
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents).toEqual([]));
    clock.to(START + 8_000);
    expect((await fleet.boxes())[0]).toMatchObject({ box: "north", version: "1.2.3" });
    await evictDurableObject(fleet);
    expect((await fleet.boxes())[0]?.lastSeenAgoMs).toBe(8_000);
  });

  it("is drained from an operator's command until a resume, through hibernation", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    agent.send(snapshot(1));
    await fleet.command("north", { t: "drain" });
    expect((await fleet.boxes())[0]?.drained).toBe(true);
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    expect((await fleet.boxes())[0]?.drained).toBe(true);
    const next = await linked(fleet, "north", "epoch-2");
    await untilHolds(() => expect(next.frames).toContainEqual({ t: "drain", at: START }));
    await fleet.command("north", { t: "resume" });
    expect((await fleet.boxes())[0]?.drained).toBe(false);
    await untilHolds(() => expect(next.frames.at(-1)).toEqual({ t: "resume", at: START + 1 }));
  });

  it("has a warning about another fleet file, and the link continues", async () => {
    const fleet = newFleet();
    const agent = await dial(fleet);
    agent.send(hello({ fleetHash: "0".repeat(64) }));
    agent.send(snapshot(1));
    await untilHolds(async () => {
      expect((await fleet.boxes())[0]?.agents[0]?.warning).toContain("fleet file");
      expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(1);
    });
    await untilHolds(() => expect(agent.frames).toMatchObject([{ t: "warning" }]));
    expect(agent.closed).toEqual([]);
  });
});

describe("a link", () => {
  it("has its pings answered, and they count as seen", async () => {
    // The platform records a ping by the real clock, so the link must be older than that.
    clock.to(Date.parse("2026-01-01"));
    const fleet = newFleet();
    const agent = await linked(fleet);
    agent.sendRaw(PING);
    await untilHolds(() => expect(agent.raw).toContain(PONG));
    const pingedAt = await runInDurableObject(fleet, (_, state) =>
      state.getWebSocketAutoResponseTimestamp(state.getWebSockets()[0] as WebSocket),
    );
    if (pingedAt === null) throw new Error("the ping wasn't recorded");
    clock.to(pingedAt.getTime() + 5_000);
    expect((await fleet.boxes())[0]?.lastSeenAgoMs).toBe(5_000);
  });

  it("of a process that dialled again replaces the older one", async () => {
    const fleet = newFleet();
    const old = await linked(fleet);
    const other = await linked(fleet, "north", "epoch-2");
    const young = await dial(fleet);
    young.send(hello());
    await untilHolds(() => expect(old.closed).toMatchObject([{ code: LINK_CLOSE.replaced }]));
    expect(old.frames.at(-1)).toMatchObject({ t: "warning" });
    expect([young.closed, other.closed]).toEqual([[], []]);
  });

  it("beyond six of a box closes the one last seen longest ago", async () => {
    const fleet = newFleet();
    const first = await linked(fleet, "north", "epoch-0");
    const others: Agent[] = [];
    for (let at = 1; at <= 6; at += 1) {
      clock.to(START + at);
      others.push(await linked(fleet, "north", `epoch-${at}`));
    }
    await untilHolds(() => expect(first.closed).toMatchObject([{ code: LINK_CLOSE.tooMany }]));
    expect(others.flatMap(({ closed }) => closed)).toEqual([]);
    expect((await linked(fleet, "south")).closed).toEqual([]);
  });

  it.each([
    ["no JSON", "{", LINK_CLOSE.protocol],
    ["bytes", new Uint8Array([1, 2, 3]).buffer, LINK_CLOSE.protocol],
    ["another version", JSON.stringify(hello({ v: 99 })), LINK_CLOSE.version],
    ["another box", JSON.stringify(hello({ box: "south" })), LINK_CLOSE.box],
    ["a frame before hello", JSON.stringify(snapshot(1)), LINK_CLOSE.protocol],
  ])("that sends %s gets a warning and is closed, and the object keeps working", async (_, frame, code) => {
    const fleet = newFleet();
    const agent = await dial(fleet);
    agent.sendRaw(frame);
    await untilHolds(() => expect(agent.closed).toMatchObject([{ code }]));
    expect(agent.frames).toMatchObject([{ t: "warning" }]);
    expect((await linked(fleet)).closed).toEqual([]);
  });

  it("whose session is of another release is closed, so that the agent dials again", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    await runInDurableObject(fleet, (_, state) => state.getWebSockets()[0]?.serializeAttachment({ old: 1 }));
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    expect((await fleet.boxes())[0]?.agents).toEqual([]);
    agent.send(snapshot(1));
    await untilHolds(() => expect(agent.closed).toMatchObject([{ code: LINK_CLOSE.protocol }]));
  });

  it("that is flooded stays open, and its next frames are read", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    for (let seq = 1; seq <= 500; seq += 1) agent.send(snapshot(seq));
    let seq = 1_000;
    await untilHolds(async () => {
      // The number of frames read in a second is limited.
      clock.to(START + (seq += 1) * 1_000);
      agent.send(snapshot(seq));
      expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBeGreaterThan(1_000);
    });
    expect(agent.closed).toEqual([]);
  });

  it("receives a key's revocation, also if it is opened up to two minutes later", async () => {
    const fleet = newFleet();
    const [north, south] = [await linked(fleet, "north"), await linked(fleet, "south")];
    await fleet.revoke("key-a");
    const late = await linked(fleet, "east");
    for (const agent of [north, south, late])
      await untilHolds(() => expect(agent.frames).toContainEqual({ t: "revoke", keyId: "key-a" }));
  });
});

describe("the stored status of a box", () => {
  const server = (state: string, restarts: number) => ({ servers: [linkServer(9000, { state, restarts })] });

  it("creates one event for each change, however often the object hibernates between the snapshots", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    const state = () => fleet.state(["north"]);
    let seq = 0;
    const report = async (serverState: string, restarts: number): Promise<void> => {
      clock.to(START + (seq += 1) * 1_000);
      agent.send(snapshot(seq, server(serverState, restarts)));
      await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(seq));
      await evictDurableObject(fleet, { webSockets: "hibernate" });
    };
    await report("ready", 0);
    await report("down", 0);
    const { since } = await state();
    await report("down", 0);
    expect((await state()).since).toEqual(since);
    await report("loading", 1);
    await report("ready", 1);
    await report("ready", 1);
    // Over a new link of the same process, which sends everything again.
    const again = await linked(fleet);
    again.send(snapshot((seq += 1), server("ready", 1)));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(seq));
    const { events } = await state();
    expect(events.toReversed().map(({ text }) => text)).toEqual([
      "9000 (Model-1) on north is down",
      "9000 (Model-1) on north is loading",
      "9000 (Model-1) on north was restarted by PM2, back after 3.0 s",
    ]);
    const ids = events.map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
  });

  it("includes its history, one row every ten seconds, through hibernation", async () => {
    const fleet = newFleet();
    const agent = await linked(fleet);
    agent.send(snapshot(1));
    await untilHolds(async () => expect((await fleet.history("north", 15)).busy).toEqual([1]));
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    for (const [seq, afterMs] of [
      [2, 9_999],
      [3, 10_000],
    ] as const) {
      clock.to(START + afterMs);
      agent.send(snapshot(seq));
      await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(seq));
    }
    expect(await fleet.history("north", 15)).toMatchObject({ at: [START, START + 10_000], busy: [1, 1] });
  });
});

describe("a batch of calls", () => {
  it("is acknowledged once the ledger has it, however often it is sent, for an adopted epoch too", async () => {
    const { box, epoch, key } = named();
    const agent = await linked(newFleet(), box, epoch);
    for (const ackedSeq of [0, 0]) {
      agent.send(usage(epoch, ackedSeq, [1, 3], key));
      await untilHolds(() => expect(acks(agent).at(-1)).toBe(3));
      agent.frames.length = 0;
    }
    agent.send(usage("adopted", 0, [8], key));
    await untilHolds(() => expect(agent.frames).toContainEqual({ t: "ack", epoch: "adopted", lastSeq: 8 }));
    expect(await booked(key)).toBe(3);
  });

  it("after a gap is answered with the last booked seq, and booked from there", async () => {
    const { box, epoch, key } = named();
    const agent = await linked(newFleet(), box, epoch);
    agent.send(usage(epoch, 40, [41], key));
    await untilHolds(() => expect(acks(agent)).toEqual([0]));
    agent.send(usage(epoch, 0, [41], key));
    await untilHolds(() => expect(acks(agent)).toEqual([0, 41]));
    expect(await booked(key)).toBe(1);
  });

  it("that the ledger can't store is not acknowledged, and the link continues", async () => {
    const { box, epoch, key } = named();
    const fleet = newFleet();
    const agent = await linked(fleet, box, epoch);
    await runInDurableObject(fleet, (instance) => {
      const LEDGER = { getByName: () => ({ apply: async () => Promise.reject(new Error("restarting")) }) };
      Object.assign(instance, { env: { ...env, LEDGER } });
    });
    agent.send(usage(epoch, 0, [1], key));
    agent.send(snapshot(1));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(1));
    expect(acks(agent)).toEqual([]);
    await evictDurableObject(fleet, { webSockets: "hibernate" });
    agent.send(usage(epoch, 0, [1], key));
    await untilHolds(() => expect(acks(agent)).toEqual([1]));
    expect(await booked(key)).toBe(1);
  });

  it("with a wrong date is booked, and agent and operators get a warning", async () => {
    const { box, epoch } = named();
    const fleet = newFleet();
    const agent = await linked(fleet, box, epoch);
    agent.send({ t: "usage", epoch, ackedSeq: 0, calls: [call(1, { startedAt: 5 })] });
    await untilHolds(() => expect(agent.frames.map(({ t }) => t)).toEqual(["ack", "warning"]));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.warning).toContain("clock"));
  });

  it("interrupted with its link counts once when it is sent over the next link", async () => {
    const { box, epoch, key } = named();
    const fleet = newFleet();
    const first = await linked(fleet, box, epoch);
    first.send(usage(epoch, 0, [1, 2], key));
    first.close();
    const second = await linked(fleet, box, epoch);
    second.send(usage(epoch, 0, [1, 2, 3], key));
    await untilHolds(() => expect(acks(second)).toEqual([3]));
    expect(await booked(key)).toBe(3);
  });
});
