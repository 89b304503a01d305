// Two equal boxes, as clients and operators see them: calls are spread, spill over, pass by a box that is drained, lost
// or silent, and come back to it.
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { startStack } from "../../../scripts/stack/stack.ts";
import { BoxHealth } from "../../../shared/health.ts";
import { figure, print, readStream } from "../support/agent-call.ts";
import { type Stack } from "../support/ask.ts";
import { startBoxLinks, type BoxLinks } from "../support/box-links.ts";
import {
  admin,
  agentOf,
  byBox,
  callEdge,
  edgeBox,
  edgeView,
  errorCode,
  FLEET_FILE,
  hold,
  ownView,
  serverState,
  setSwitches,
  type Held,
  type Streamed,
} from "../support/boxes.ts";
import { until } from "../../support/until.ts";

const BOXES = ["north", "south"] as const;
type BoxName = (typeof BOXES)[number];
const AGENT_TYPES = ["Clinical", "Claims", "Chat", "Scribe", "Default"];
/** Serves `Clinical`. */
const PORT = 8085;
const SLOTS = 2;
const PLACES = 32;

/** Tokens a slot makes in a second: as many as it can; and while a call is meant to stay. */
const QUICK = 0;
const SLOW = 5;
/** Longer than any test at the slow pace. */
const LONG = 1_000;
/**
 * Of a call that ends at once. An agent learns no speed from so few tokens: what it learns is the slow pace, which it
 * would otherwise take for a fault.
 */
const FEW = 4;

let stack: Stack;
let links: BoxLinks;
beforeAll(async () => {
  links = await startBoxLinks();
  stack = await startStack({
    fleetFile: FLEET_FILE,
    simulator: { tokensPerSecond: QUICK, promptTokensPerSecond: 100_000 },
    agentEnv: { EDGE_URL: links.url },
  });
  links.lead(stack.edgeUrl);
});
beforeEach(bothUp);
afterAll(async () => {
  await stack?.stop();
  await links?.close();
});

/** Both boxes are idle, and the edge uses both. */
async function bothUp(): Promise<void> {
  await until(async () => {
    const boxes = (await edgeView(stack))?.boxes ?? [];
    return boxes.every(
      ({ state, servers }) =>
        state === "up" && servers.every((one) => one.state === "ready" && one.busy === 0),
    );
  }, "both boxes are up and idle");
  // And calls go by it: one after another they are answered in turn.
  let last: string | null = null;
  await until(async () => {
    const { status, box } = await callEdge(stack, { tokens: 1 });
    const isInTurn = status === 200 && last !== null && box !== last;
    last = status === 200 ? box : null;
    return isInTurn;
  }, "calls go to both boxes");
}

async function pace(box: BoxName, tokensPerSecond: number): Promise<void> {
  await setSwitches(stack, box, PORT, { tokensPerSecond });
}

const callsOf = (count: number): Promise<Streamed[]> =>
  Promise.all(Array.from({ length: count }, () => callEdge(stack, { tokens: FEW })));

/** Every one of them whole: 200, one `[DONE]`, no error event. */
function expectWhole(calls: readonly Streamed[]): void {
  const broken = calls.filter(({ status, text }) => {
    const { dones, errors } = readStream(text);
    return status !== 200 || dones !== 1 || errors.length > 0;
  });
  expect(broken).toEqual([]);
}

/** Until the edge goes by what it has learned meanwhile: by anything older, calls at once go to both boxes or to the other. */
async function untilCallsGoTo(wanted: BoxName): Promise<void> {
  const calls: Streamed[] = [];
  await until(async () => {
    const burst = await callsOf(8);
    calls.push(...burst);
    return burst.every(({ box }) => box === wanted);
  }, `calls go to ${wanted}`);
  expectWhole(calls);
}

/**
 * Until the edge knows that a box is lost. It can't know what became of a call that it sent there before, so it sends
 * none of them to another box.
 * @returns those calls
 */
async function untilPassedBy(lost: BoxName): Promise<Streamed[]> {
  const broken: Streamed[] = [];
  await until(async () => (await edgeBox(stack, lost))?.agents === 0, `${lost}'s link is closed`);
  await until(async () => {
    const burst = await callsOf(8);
    broken.push(...burst.filter(({ status }) => status !== 200));
    return burst.every(({ status }) => status === 200);
  }, `calls pass by ${lost}`);
  return broken;
}

/** What the edge's own refusals contain, and no agent's. */
const EARLY = "All slots and queue places of";

/**
 * Until the edge refuses by itself, by a snapshot that has just come: a call that went by an older one, and was refused
 * by an agent, had it fetched.
 */
async function untilRefusedEarly(): Promise<void> {
  const refused: Streamed[] = [];
  let wasAsked = false;
  await until(async () => {
    const call = await callEdge(stack, { tokens: 1 });
    refused.push(call);
    const isEarly = call.text.includes(EARLY);
    wasAsked ||= !isEarly;
    return wasAsked && isEarly;
  }, "the edge refuses by itself");
  const ends = refused.map(({ status, text }) => `${status} ${errorCode(text)}`);
  expect(new Set(ends)).toEqual(new Set(["503 overloaded"]));
}

/** Streams under way on both boxes, with the box of each; none ends before its box is quick again. */
interface Running {
  readonly on: readonly BoxName[];
  readonly ended: Promise<Streamed[]>;
}

/**
 * Begins streams until each box has one, the next once the edge has learned of those before it. Three are enough, and
 * none waits, unless the machine is so slow that the edge knew nothing for a moment.
 */
async function running(): Promise<Running> {
  for (const box of BOXES) await pace(box, SLOW);
  onTestFinished(async () => {
    for (const box of BOXES) await pace(box, QUICK);
  });
  const on: BoxName[] = [];
  const calls: Promise<Streamed>[] = [];
  while (!BOXES.every((box) => on.includes(box))) {
    calls.push(callEdge(stack, { tokens: LONG, onText: (box) => void on.push(box as BoxName) }));
    await until(async () => {
      const servers = ((await edgeView(stack))?.boxes ?? []).flatMap((box) => box.servers);
      const busy = servers.reduce((sum, server) => sum + server.busy, 0);
      const waiting = servers.reduce((sum, server) => sum + server.waiting, 0);
      return on.length === busy && busy + waiting === calls.length;
    }, `${calls.length} streams have begun or wait, and the edge knows of them`);
  }
  return { on: [...on], ended: Promise.all(calls) };
}

test("calls are spread over equal boxes", async () => {
  const calls: Streamed[] = [];
  for (let burst = 0; burst < 4; burst += 1) {
    await bothUp();
    const asked = AGENT_TYPES.flatMap((agentType) => [agentType, agentType, agentType, agentType]);
    calls.push(...(await Promise.all(asked.map((agentType) => callEdge(stack, { tokens: FEW, agentType })))));
  }
  expectWhole(calls);
  const counts = byBox(calls);
  print("spread", counts);
  for (const box of BOXES) expect(counts[box]).toBeGreaterThan(calls.length * 0.35);
});

/** Takes every slot and place of the server, until it is released or the test is over. */
async function fillUnseen(box: BoxName): Promise<Held> {
  // An agent takes only calls that won't wait too long, by what recent calls took: these are quick.
  await hold(stack, box, PORT, 12, 1).ended;
  await pace(box, SLOW);
  const held = hold(stack, box, PORT, SLOTS + PLACES, LONG);
  onTestFinished(async () => {
    await held.release();
    await pace(box, QUICK);
  });
  await until(async () => {
    const server = (await ownView(stack, box)).servers.find(({ port }) => port === PORT);
    return server?.busy === SLOTS && server.waiting === PLACES;
  }, `${box} is full`);
  return held;
}

async function fill(box: BoxName): Promise<Held> {
  const held = await fillUnseen(box);
  await until(async () => {
    const server = (await edgeBox(stack, box))?.servers.find(({ port }) => port === PORT);
    return server?.busy === SLOTS && server.waiting === PLACES;
  }, `the edge knows that ${box} is full`);
  return held;
}

/** Calls that a box's server or its agent has had. */
const asked = async (box: BoxName): Promise<number> =>
  (await figure(agentOf(stack, box), "isha_requests_total")) +
  (await serverState(stack, box, PORT)).generating;

test("a full box is left alone while the other has room", async () => {
  await fill("north");
  await untilCallsGoTo("south");
  // An edge that has just started knows nothing for a moment: it asks north too, and south serves all the same.
  const bursts: Streamed[] = [];
  await until(async () => {
    const before = await asked("north");
    bursts.push(...(await callsOf(16)));
    return (await asked("north")) === before;
  }, "north isn't even asked");
  expectWhole(bursts);
  expect(byBox(bursts)).toEqual({ south: bursts.length });
  print("spill", byBox(bursts));
});

test("if both boxes are full the edge refuses at once, and asks neither", async () => {
  await Promise.all(BOXES.map(fill));
  await untilRefusedEarly();
  const both = async (): Promise<number> => (await asked("north")) + (await asked("south"));
  const before = await both();
  const refused = await callsOf(20);
  const askedFor = (await both()) - before;
  for (const { status, text, retryAfterS } of refused) {
    expect([status, errorCode(text)]).toEqual([503, "overloaded"]);
    expect(retryAfterS).toBeGreaterThanOrEqual(1);
  }
  // By a snapshot that has grown old meanwhile the edge refuses nothing itself: it asks one box, then the other.
  const late = refused.filter(({ text }) => !text.includes(EARLY)).length;
  expect(askedFor).toBeLessThanOrEqual(BOXES.length * late);
  print("both full", { refusedEarly: refused.length - late, late });
});

test("a drained box gets no new call, what runs there finishes, and a restart of its agent changes nothing", async () => {
  const before = await running();
  onTestFinished(async () => void (await admin(stack, "POST", "/boxes/north/resume")));
  expect((await admin(stack, "POST", "/boxes/north/drain")).status).toBe(202);
  await until(async () => (await ownView(stack, "north")).draining, "the agent has heard of it");
  const seen = async (): Promise<number> =>
    (await serverState(stack, "north", PORT)).requestsByRoute["/v1/chat/completions"] ?? 0;
  const seenBefore = await seen();
  const calls = callsOf(12);
  await pace("south", QUICK);
  const during = await calls;
  await pace("north", QUICK);
  expectWhole([...(await before.ended), ...during]);
  expect(byBox(during)).toEqual({ south: 12 });
  // The box's own health shows none of its servers as usable, the edge's shows that it drains.
  const own = BoxHealth.parse(await (await fetch(`${agentOf(stack, "north").agentUrl}/healthz`)).json());
  expect(new Set(own.servers.map(({ state }) => state))).toEqual(new Set(["down"]));
  const health = await until(async () => {
    const shown = (await (await fetch(`${stack.edgeUrl}/healthz`)).json()) as { status: string };
    return shown.status === "degraded" && shown;
  }, "the edge's health shows it");
  expect(health).toMatchObject({ boxes: { north: "draining", south: "up" } });

  // From its first moment on: the edge knows of the drain, whatever a young agent reports before it has heard of it.
  const restarted: Streamed[] = [];
  let isBack = false;
  const restarting = stack.restartAgent("north").then(() => (isBack = true));
  await until(async () => {
    restarted.push(await callEdge(stack, { tokens: 2 }));
    if (!isBack) return false;
    const own = await ownView(stack, "north");
    return own.linked && own.draining && (await edgeBox(stack, "north"))?.state === "draining";
  }, "the restarted agent has heard of the drain");
  await restarting;
  restarted.push(...(await callsOf(12)));
  expectWhole(restarted);
  expect(byBox(restarted)).toEqual({ south: restarted.length });
  expect(await seen()).toBe(seenBefore);

  expect((await admin(stack, "POST", "/boxes/north/resume")).status).toBe(202);
  await until(async () => (await callEdge(stack, { tokens: 1 })).box === "north", "north takes calls again");
  const { entries } = (await (await admin(stack, "GET", "/audit")).json()) as {
    entries: { action: string; target: string }[];
  };
  const audited = entries.map(({ action, target }) => `${action} ${target}`);
  expect(audited).toEqual(expect.arrayContaining(["box.drain north", "box.resume north"]));
  print("drain", { during: byBox(during), restarted: byBox(restarted) });
});

test("a lost box ends the streams it was sending with one error event, and no other box gets what it broke; once back it is used again", async () => {
  const before = await running();
  let isNorthUp = false;
  onTestFinished(async () => {
    if (!isNorthUp) await stack.startAgent("north");
  });
  await stack.killAgent("north");
  await pace("south", QUICK);
  const broken = await untilPassedBy("north");
  expect(broken.map(({ status, text }) => `${status} ${errorCode(text)}`)).toEqual(
    broken.map(() => "502 box_unreachable"),
  );
  // Fewer than a key's half of south's places.
  const after = await callsOf(12);
  const ended = await before.ended;
  const lost = ended.filter(({ box }) => box === "north");
  for (const { status, text } of lost) {
    const { dones, errors, finishes } = readStream(text);
    expect({ status, dones, errors, finishes }).toEqual({
      status: 200,
      dones: 0,
      errors: ["box_unreachable"],
      finishes: [],
    });
  }
  expect(lost).toHaveLength(before.on.filter((box) => box === "north").length);
  expectWhole([...ended.filter((call) => !lost.includes(call)), ...after]);
  expect(byBox(after)).toEqual({ south: 12 });

  await pace("north", QUICK);
  await stack.startAgent("north");
  isNorthUp = true;
  const again: Streamed[] = [];
  await until(async () => {
    again.push(await callEdge(stack, { tokens: 1 }));
    return again.at(-1)?.box === "north";
  }, "north is used again");
  expectWhole(again);
  print("loss", { streaming: byBox(ended), endedWithAnError: lost.length, newCalls: byBox(after) });
});

test("a box whose link is cut is used if the others are full, and with no link at all calls go by the fleet file", async () => {
  onTestFinished(() => BOXES.forEach((box) => links.repair(box)));
  links.cut("north");
  await until(async () => (await edgeBox(stack, "north"))?.agents === 0, "north's link is gone");
  await untilCallsGoTo("south");
  const oneSilent = await callsOf(8);
  expectWhole(oneSilent);
  expect(byBox(oneSilent)).toEqual({ south: 8 });
  const south = await fill("south");
  await untilCallsGoTo("north");
  const spilt = await callsOf(8);
  expectWhole(spilt);
  expect(byBox(spilt)).toEqual({ north: 8 });
  await south.release();
  await pace("south", QUICK);

  links.cut("south");
  await until(async () => (await edgeBox(stack, "south"))?.agents === 0, "south's link is gone");
  await untilCallsGoTo("north");
  const noLink = await callsOf(16);
  expectWhole(noLink);
  expect(byBox(noLink)).toEqual({ north: 16 });
  // The edge doesn't know that north is full; north's agent refuses.
  await fillUnseen("north");
  const refusedByNorth = await callsOf(8);
  expectWhole(refusedByNorth);
  expect(byBox(refusedByNorth)).toEqual({ south: 8 });
  print("silent", {
    oneSilent: byBox(oneSilent),
    otherFull: byBox(spilt),
    noLink: byBox(noLink),
    noLinkNorthFull: byBox(refusedByNorth),
  });
});
