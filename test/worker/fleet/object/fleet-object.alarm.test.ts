// The fleet object's own look at its boxes, by the platform's alarm: what is posted, in which order, how often, and
// what outlives a webhook that fails, a crash and an eviction.
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { LINK_BOX_HEADER, LINK_BOXES_HEADER, LINK_PORTS_HEADER } from "../../../../shared/wire.ts";
import type { Fleet } from "../../../../worker/fleet/object/fleet-object.ts";
import { linked, linkServer, newFleet, snapshot, type FleetStub } from "../../support/agents.ts";
import { stopClock } from "../../support/edge.ts";
import { standIn } from "../../support/origin.ts";
import { untilHolds } from "../../support/until.ts";

const HOOK = "https://hooks.example/alarms";
const LOOK_MS = 15_000;
const MINUTE = 60_000;

/** Far ahead of the real clock, by which the platform rings alarms: here none rings but by the test. */
const START = Date.parse("2096-11-23T12:00:00Z");

/** A fleet object that posts to an address; said again after an eviction. */
async function postingTo(fleet: FleetStub, address: Readonly<Record<string, unknown>>): Promise<void> {
  await runInDurableObject(fleet, (instance) => {
    Object.assign(instance, {
      env: Object.defineProperties({ ...env }, Object.getOwnPropertyDescriptors(address)),
    });
  });
}

/** A fleet of these boxes, its clock, and what its webhook was sent. */
async function watched(
  boxes: readonly string[],
  statusOf: (body: string, times: number) => number = () => 200,
) {
  const clock = stopClock(START);
  const fleet = newFleet();
  const attempts: string[] = [];
  const taken: string[] = [];
  standIn(({ url, bytes }) => {
    if (url.href !== HOOK) throw new Error("nobody else is posted to");
    const { alarm, state } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>;
    const told = `${alarm} ${state}`;
    attempts.push(told);
    const status = statusOf(told, attempts.filter((one) => one === told).length);
    if (status < 300) taken.push(told);
    return new Response(null, { status });
  });
  await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
  await fleet.state(boxes);
  /** The platform's alarm at a time after the start. */
  const lookAt = async (afterMs: number): Promise<void> => {
    clock.to(START + afterMs);
    expect(await runDurableObjectAlarm(fleet)).toBe(true);
  };
  return { fleet, attempts, taken, lookAt, toMs: (afterMs: number) => clock.to(START + afterMs) };
}

async function outboxSize(fleet: FleetStub): Promise<number> {
  return runInDurableObject(
    fleet,
    (_, { storage }) => storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM outbox").one().n,
  );
}

describe("an alarm", () => {
  it("is one message when it counts and one when it is over, however often is looked", async () => {
    const { fleet, attempts, lookAt } = await watched(["north"]);
    for (const at of [0, 15_000, 30_000, 45_000]) await lookAt(at);
    expect(attempts).toEqual([]);
    for (const at of [60_000, 75_000, 90_000]) await lookAt(at);
    expect(attempts).toEqual(["box-silent:north raised"]);
    expect((await fleet.state(["north"])).alarms.map(({ id }) => id)).toEqual(["box-silent:north"]);
    const agent = await linked(fleet, "north");
    agent.send(snapshot(1));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(1));
    for (const at of [91_000, 106_000, 119_000]) await lookAt(at);
    expect(attempts).toEqual(["box-silent:north raised", "box-silent:north recovered"]);
    expect((await fleet.state(["north"])).alarms).toEqual([]);
  });

  it("is told with no word of anything but the fleet, and as an event too", async () => {
    const { fleet, lookAt } = await watched(["north"]);
    await lookAt(0);
    await lookAt(MINUTE);
    expect((await fleet.state(["north"])).events).toMatchObject([
      { box: null, port: null, level: "bad", text: "alarm: north has never reported in." },
    ]);
  });

  it("of a box that never dials comes from any other box's link: nobody need look at the fleet for it", async () => {
    const clock = stopClock(START);
    const fleet = newFleet();
    await fleet.fetch("https://fleet/link", {
      headers: { upgrade: "websocket", [LINK_BOX_HEADER]: "north", [LINK_BOXES_HEADER]: "north,south" },
    });
    for (const at of [0, MINUTE]) {
      clock.to(START + at);
      await runDurableObjectAlarm(fleet);
    }
    const { alarms } = await fleet.state(["north", "south"]);
    expect(alarms.map(({ id }) => id)).toContain("box-silent:south");
  });

  it("is for no server that the edge's fleet file lacks, whoever told of that file", async () => {
    const clock = stopClock(START);
    const [byLink, byQuestion] = [newFleet(), newFleet()];
    const servers = [linkServer(9000, { state: "down" }), linkServer(9001, { state: "down" })];
    await byLink.fetch("https://fleet/link", {
      headers: {
        upgrade: "websocket",
        [LINK_BOX_HEADER]: "north",
        [LINK_BOXES_HEADER]: "north",
        [LINK_PORTS_HEADER]: JSON.stringify({ north: [9000] }),
      },
    });
    await byQuestion.state(["north"], { north: [9000] });
    for (const fleet of [byLink, byQuestion]) {
      const agent = await linked(fleet, "north");
      const says = async (seq: number): Promise<void> => {
        agent.send(snapshot(seq, { servers }));
        await untilHolds(async () => {
          const agents = (await fleet.boxes())[0]?.agents ?? [];
          expect(agents.some((one) => one.snapshot?.seq === seq)).toBe(true);
        });
      };
      for (const [seq, at] of [
        [1, 0],
        [2, MINUTE],
        [3, 5 * MINUTE],
      ] as const) {
        clock.to(START + at);
        await says(seq);
        await runDurableObjectAlarm(fleet);
      }
      const { alarms } = await fleet.state(["north"]);
      expect(alarms.map(({ id }) => id).filter((id) => id.startsWith("not-ready"))).toEqual([
        "not-ready:north:9000",
      ]);
      clock.to(START);
    }
  });

  it("without an address is kept for the console and waits for nobody", async () => {
    const { fleet, attempts, lookAt } = await watched(["north"]);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: "" });
    await lookAt(0);
    await lookAt(MINUTE);
    expect(await outboxSize(fleet)).toBe(0);
    expect((await fleet.state(["north"])).alarms).toHaveLength(1);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
    await lookAt(MINUTE + LOOK_MS);
    expect(attempts).toEqual([]);
  });
});

describe("a webhook that fails", () => {
  it("keeps its messages, and gets each once and in order when it works again", async () => {
    let works = false;
    const { attempts, taken, lookAt } = await watched(["north", "south", "east"], () => (works ? 200 : 503));
    for (const at of [0, 60_000, 75_000]) await lookAt(at);
    // The first waits, and the others behind it.
    expect(attempts).toEqual(["box-silent:north raised", "box-silent:north raised"]);
    works = true;
    for (const at of [90_000, 105_000]) await lookAt(at);
    expect(taken).toEqual(["north", "south", "east"].map((name) => `box-silent:${name} raised`));
  });

  it("at one of them isn't sent those before it again", async () => {
    const { attempts, lookAt } = await watched(["north", "south", "east"], (told, times) =>
      told.includes("south") && times < 3 ? 500 : 200,
    );
    for (const at of [0, 60_000, 75_000, 90_000, 105_000]) await lookAt(at);
    expect(attempts.map((told) => told.slice("box-silent:".length).split(" ")[0])).toEqual([
      "north",
      "south",
      "south",
      "south",
      "east",
    ]);
  });

  it("for long gets the newest fifty", async () => {
    let works = false;
    const boxes = Array.from({ length: 70 }, (_, at) => `box-${at}`);
    const { fleet, taken, lookAt } = await watched(boxes, () => (works ? 200 : 500));
    for (const at of [0, 60_000, 75_000]) await lookAt(at);
    expect(await outboxSize(fleet)).toBe(50);
    works = true;
    await lookAt(90_000);
    expect(taken).toEqual(boxes.slice(20).map((name) => `box-silent:${name} raised`));
    expect(await outboxSize(fleet)).toBe(0);
  });
});

describe("what was told and what waits", () => {
  it("outlive an eviction, and so does the next look", async () => {
    let works = false;
    const { fleet, attempts, taken, lookAt } = await watched(["north"], () => (works ? 200 : 500));
    for (const at of [0, 60_000]) await lookAt(at);
    await evictDurableObject(fleet);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
    works = true;
    for (const at of [75_000, 90_000, 105_000]) await lookAt(at);
    expect(attempts).toHaveLength(2);
    expect(taken).toEqual(["box-silent:north raised"]);
    await evictDurableObject(fleet);
    expect((await fleet.state(["north"])).alarms).toHaveLength(1);
  });

  it("are told once where a look breaks off and the platform repeats it", async () => {
    const { fleet, attempts, lookAt, toMs } = await watched(["north"]);
    await lookAt(0);
    toMs(MINUTE);
    await postingTo(fleet, {
      get ALERT_WEBHOOK_URL(): string {
        throw new Error("the object is reset");
      },
    });
    for (let tries = 0; tries < 3; tries += 1)
      await expect(runInDurableObject(fleet, async (instance: Fleet) => instance.alarm())).rejects.toThrow(
        "is reset",
      );
    expect(await outboxSize(fleet)).toBe(1);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
    for (let tries = 0; tries < 3; tries += 1)
      await runInDurableObject(fleet, async (instance: Fleet) => instance.alarm());
    expect(attempts).toEqual(["box-silent:north raised"]);
    expect((await fleet.state(["north"])).events).toHaveLength(1);
  });
});

describe("the next look", () => {
  const next = (fleet: FleetStub): Promise<number | null> =>
    runInDurableObject(fleet, (_, { storage }) => storage.getAlarm());

  it("is the platform's to remember: set by the first link or question, by each look, and by no other", async () => {
    const clock = stopClock(START);
    const fleet = newFleet();
    await fleet.boxes();
    expect(await next(fleet)).toBeNull();
    await linked(fleet);
    const first = (await next(fleet)) ?? 0;
    expect(first).toBe(START + LOOK_MS);
    clock.to(START + 9_000);
    await fleet.state(["north"]);
    expect(await next(fleet)).toBe(first);
    clock.to(START + LOOK_MS);
    await runDurableObjectAlarm(fleet);
    expect(await next(fleet)).toBe(START + 2 * LOOK_MS);
  });
});
