// The fleet object's own evaluation of its boxes, run by the platform's alarm: what is posted, in which order and how
// often, and what survives a failing webhook, a crash and an eviction.
import { env } from "cloudflare:workers";
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { LINK_BOX_HEADER, LINK_BOXES_HEADER, LINK_PORTS_HEADER } from "../../../../shared/wire.ts";
import type { Fleet } from "../../../../worker/fleet/object/fleet-object.ts";
import { linked, linkServer, newFleet, snapshot, type FleetStub } from "../../support/agents.ts";
import { stopClock } from "../../support/edge.ts";
import { fakeFetch } from "../../support/origin.ts";
import { untilHolds } from "../../support/until.ts";

const HOOK = "https://hooks.example/alarms";
const EVALUATE_MS = 15_000;
const MINUTE = 60_000;

/** Far ahead of the real clock, by which the platform runs alarms: only the test runs them here. */
const START = Date.parse("2096-11-23T12:00:00Z");

/** Makes a fleet object post to a URL; must be repeated after an eviction. */
async function postingTo(fleet: FleetStub, variables: Readonly<Record<string, unknown>>): Promise<void> {
  await runInDurableObject(fleet, (instance) => {
    Object.assign(instance, {
      env: Object.defineProperties({ ...env }, Object.getOwnPropertyDescriptors(variables)),
    });
  });
}

/** A fleet of these boxes, its clock, and the messages that its webhook received. */
async function watched(
  boxes: readonly string[],
  statusOf: (body: string, times: number) => number = () => 200,
) {
  const clock = stopClock(START);
  const fleet = newFleet();
  const attempts: string[] = [];
  const accepted: string[] = [];
  fakeFetch(({ url, bytes }) => {
    if (url.href !== HOOK) throw new Error("only the webhook is posted to");
    const { alarm, state } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, string>;
    const message = `${alarm} ${state}`;
    attempts.push(message);
    const status = statusOf(message, attempts.filter((one) => one === message).length);
    if (status < 300) accepted.push(message);
    return new Response(null, { status });
  });
  await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
  await fleet.state(boxes);
  /** Runs the platform's alarm at a time after the start. */
  const alarmAt = async (afterMs: number): Promise<void> => {
    clock.to(START + afterMs);
    expect(await runDurableObjectAlarm(fleet)).toBe(true);
  };
  return { fleet, attempts, accepted, alarmAt, toMs: (afterMs: number) => clock.to(START + afterMs) };
}

async function outboxSize(fleet: FleetStub): Promise<number> {
  return runInDurableObject(
    fleet,
    (_, { storage }) => storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM outbox").one().n,
  );
}

describe("an alarm", () => {
  it("is one message when it is raised and one when it has recovered, however often it is evaluated", async () => {
    const { fleet, attempts, alarmAt } = await watched(["north"]);
    for (const at of [0, 15_000, 30_000, 45_000]) await alarmAt(at);
    expect(attempts).toEqual([]);
    for (const at of [60_000, 75_000, 90_000]) await alarmAt(at);
    expect(attempts).toEqual(["box-silent:north raised"]);
    expect((await fleet.state(["north"])).alarms.map(({ id }) => id)).toEqual(["box-silent:north"]);
    const agent = await linked(fleet, "north");
    agent.send(snapshot(1));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(1));
    for (const at of [91_000, 106_000, 119_000]) await alarmAt(at);
    expect(attempts).toEqual(["box-silent:north raised", "box-silent:north recovered"]);
    expect((await fleet.state(["north"])).alarms).toEqual([]);
  });

  it("is an event too, with text about the fleet only", async () => {
    const { fleet, alarmAt } = await watched(["north"]);
    await alarmAt(0);
    await alarmAt(MINUTE);
    expect((await fleet.state(["north"])).events).toMatchObject([
      { box: "north", port: null, level: "bad", text: "alarm: north has never reported." },
    ]);
  });

  it("has the real names of the server's process in its advice, from the edge's fleet file", async () => {
    const clock = stopClock(START);
    const fleet = newFleet();
    await fleet.state(["north"], { north: [9000] }, { north: { 9000: "llama-9000" } });
    const agent = await linked(fleet, "north");
    agent.send(snapshot(1, { servers: [linkServer(9000, { state: "down" })] }));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(1));
    await runDurableObjectAlarm(fleet);
    clock.to(START + 2 * MINUTE);
    agent.send(snapshot(2, { servers: [linkServer(9000, { state: "down" })] }));
    await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(2));
    await runDurableObjectAlarm(fleet);
    const { alarms, events } = await fleet.state(["north"], { north: [9000] });
    expect(alarms[0]?.advice).toContain("On north: `pm2 logs llama-9000`.");
    expect(alarms[0]?.advice).toContain("`isha box restart north 9000`");
    expect(events[0]).toMatchObject({ box: "north", port: 9000, level: "bad" });
  });

  it("of a drained fleet is raised after a quarter of an hour, and over once it is resumed", async () => {
    const { fleet, attempts, alarmAt } = await watched(["north"]);
    const agent = await linked(fleet, "north");
    const report = async (seq: number): Promise<void> => {
      agent.send(snapshot(seq, { draining: true }));
      await untilHolds(async () => expect((await fleet.boxes())[0]?.agents[0]?.snapshot?.seq).toBe(seq));
    };
    await fleet.command("north", { t: "drain" });
    await report(1);
    await alarmAt(14 * MINUTE);
    expect(attempts.filter((message) => message.startsWith("drained-long"))).toEqual([]);
    await alarmAt(15 * MINUTE);
    expect(attempts.filter((message) => message.startsWith("drained-long"))).toEqual([
      "drained-long:north raised",
    ]);
    const { alarms } = await fleet.state(["north"]);
    expect(alarms.find(({ id }) => id === "drained-long:north")).toMatchObject({
      text: "Nothing is served: north has been drained for 15 min.",
      since: START,
    });
    await fleet.command("north", { t: "resume" });
    await alarmAt(16 * MINUTE);
    await alarmAt(17 * MINUTE);
    expect(attempts.filter((message) => message.startsWith("drained-long"))).toEqual([
      "drained-long:north raised",
      "drained-long:north recovered",
    ]);
  });

  it("for a box that never dials is raised once any other box links, without a request for the fleet", async () => {
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

  it("is never about a server outside the edge's fleet file, whether a link or a request named its servers", async () => {
    const clock = stopClock(START);
    const [byLink, byRequest] = [newFleet(), newFleet()];
    const servers = [linkServer(9000, { state: "down" }), linkServer(9001, { state: "down" })];
    await byLink.fetch("https://fleet/link", {
      headers: {
        upgrade: "websocket",
        [LINK_BOX_HEADER]: "north",
        [LINK_BOXES_HEADER]: "north",
        [LINK_PORTS_HEADER]: JSON.stringify({ north: [9000] }),
      },
    });
    await byRequest.state(["north"], { north: [9000] });
    for (const fleet of [byLink, byRequest]) {
      const agent = await linked(fleet, "north");
      const report = async (seq: number): Promise<void> => {
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
        await report(seq);
        await runDurableObjectAlarm(fleet);
      }
      const { alarms } = await fleet.state(["north"]);
      expect(alarms.map(({ id }) => id).filter((id) => id.startsWith("not-ready"))).toEqual([
        "not-ready:north:9000",
      ]);
      clock.to(START);
    }
  });

  it("without a webhook is shown in the console and stays in no outbox", async () => {
    const { fleet, attempts, alarmAt } = await watched(["north"]);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: "" });
    await alarmAt(0);
    await alarmAt(MINUTE);
    expect(await outboxSize(fleet)).toBe(0);
    expect((await fleet.state(["north"])).alarms).toHaveLength(1);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
    await alarmAt(MINUTE + EVALUATE_MS);
    expect(attempts).toEqual([]);
  });
});

describe("a webhook that fails", () => {
  it("gets each message once and in order when it works again", async () => {
    let works = false;
    const { attempts, accepted, alarmAt } = await watched(["north", "south", "east"], () =>
      works ? 200 : 503,
    );
    for (const at of [0, 60_000, 75_000]) await alarmAt(at);
    // The first waits, and the others wait for it.
    expect(attempts).toEqual(["box-silent:north raised", "box-silent:north raised"]);
    works = true;
    for (const at of [90_000, 105_000]) await alarmAt(at);
    expect(accepted).toEqual(["north", "south", "east"].map((name) => `box-silent:${name} raised`));
  });

  it("for one message isn't sent the earlier ones again", async () => {
    const { attempts, alarmAt } = await watched(["north", "south", "east"], (message, times) =>
      message.includes("south") && times < 3 ? 500 : 200,
    );
    for (const at of [0, 60_000, 75_000, 90_000, 105_000]) await alarmAt(at);
    expect(attempts.map((message) => message.slice("box-silent:".length).split(" ")[0])).toEqual([
      "north",
      "south",
      "south",
      "south",
      "east",
    ]);
  });

  it("for a long time gets the newest fifty messages", async () => {
    let works = false;
    const boxes = Array.from({ length: 70 }, (_, at) => `box-${at}`);
    const { fleet, accepted, alarmAt } = await watched(boxes, () => (works ? 200 : 500));
    for (const at of [0, 60_000, 75_000]) await alarmAt(at);
    expect(await outboxSize(fleet)).toBe(50);
    works = true;
    await alarmAt(90_000);
    expect(accepted).toEqual(boxes.slice(20).map((name) => `box-silent:${name} raised`));
    expect(await outboxSize(fleet)).toBe(0);
  });
});

describe("delivered and undelivered messages", () => {
  it("survive an eviction, and so does the next evaluation", async () => {
    let works = false;
    const { fleet, attempts, accepted, alarmAt } = await watched(["north"], () => (works ? 200 : 500));
    for (const at of [0, 60_000]) await alarmAt(at);
    await evictDurableObject(fleet);
    await postingTo(fleet, { ALERT_WEBHOOK_URL: HOOK });
    works = true;
    for (const at of [75_000, 90_000, 105_000]) await alarmAt(at);
    expect(attempts).toHaveLength(2);
    expect(accepted).toEqual(["box-silent:north raised"]);
    await evictDurableObject(fleet);
    expect((await fleet.state(["north"])).alarms).toHaveLength(1);
  });

  it("are created once if an evaluation throws and the platform repeats it", async () => {
    const { fleet, attempts, alarmAt, toMs } = await watched(["north"]);
    await alarmAt(0);
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

describe("the next evaluation", () => {
  const next = (fleet: FleetStub): Promise<number | null> =>
    runInDurableObject(fleet, (_, { storage }) => storage.getAlarm());

  it("is scheduled by the first link or request, and by each evaluation, but by nothing else", async () => {
    const clock = stopClock(START);
    const fleet = newFleet();
    await fleet.boxes();
    expect(await next(fleet)).toBeNull();
    await linked(fleet);
    const first = (await next(fleet)) ?? 0;
    expect(first).toBe(START + EVALUATE_MS);
    clock.to(START + 9_000);
    await fleet.state(["north"]);
    expect(await next(fleet)).toBe(first);
    clock.to(START + EVALUATE_MS);
    await runDurableObjectAlarm(fleet);
    expect(await next(fleet)).toBe(START + 2 * EVALUATE_MS);
  });
});
