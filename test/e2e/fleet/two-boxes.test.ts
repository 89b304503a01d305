// Two boxes alike, as clients and operators see them: calls are spread, spill over, are led past a box that is
// drained, lost or silent, and come back to it.
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { startStack } from "../../../scripts/stack.mjs";
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

/** Tokens a slot makes in a second; and where a call is meant to stay: not so few that the server counts as slow. */
const QUICK = 200;
const SLOW = 50;

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

const callsOf = (count: number, tokens = 8): Promise<Streamed[]> =>
  Promise.all(Array.from({ length: count }, () => callEdge(stack, { tokens })));

/** Every one of them whole: 200, one `[DONE]`, no error event. */
function expectWhole(calls: readonly Streamed[]): void {
  const broken = calls.filter(({ status, text }) => {
    const { dones, errors } = readStream(text);
    return status !== 200 || dones !== 1 || errors.length > 0;
  });
  expect(broken).toEqual([]);
}

/** An isolate goes by the same words for two seconds, milliseconds. */
const WORDS_MS = 2_100;

/** Until calls go to a box by words that the edge got after now. */
async function untilCallsGoTo(wanted: BoxName): Promise<void> {
  const since = performance.now();
  let inRow = 0;
  await until(async () => {
    const { box } = await callEdge(stack, { tokens: 1 });
    inRow = box === wanted ? inRow + 1 : 0;
    return inRow >= 3 && performance.now() - since > WORDS_MS;
  }, `calls go to ${wanted}`);
}

/** What the edge says where it refuses a call itself, and no agent does. */
const EARLY = "and so is every place for waiting";

/**
 * Until the edge refuses by itself, by words that have just come: a call that went by older ones, and was refused by
 * an agent, had them fetched.
 */
async function untilRefusedEarly(): Promise<void> {
  let wasAsked = false;
  await until(async () => {
    const { status, text } = await callEdge(stack, { tokens: 1 });
    expect([status, errorCode(text)]).toEqual([503, "overloaded"]);
    const isEarly = text.includes(EARLY);
    wasAsked ||= !isEarly;
    return wasAsked && isEarly;
  }, "the edge refuses by itself");
}

/** Streams under way on both boxes at once, with the box of each. */
interface Running {
  readonly on: readonly BoxName[];
  /** Those that have ended by now. */
  readonly over: ReadonlySet<Streamed>;
  readonly ended: Promise<Streamed[]>;
}

/** One after another, so that none of them waits for another's slot. */
async function running(count: number, tokens: number): Promise<Running> {
  const on: BoxName[] = [];
  const over = new Set<Streamed>();
  const calls: Promise<Streamed>[] = [];
  for (let begun = 1; begun <= count; begun += 1) {
    const call = callEdge(stack, { tokens, onText: (box) => void on.push(box as BoxName) });
    calls.push(call);
    void call.then(
      (ended) => over.add(ended),
      () => undefined,
    );
    await until(async () => on.length === begun, `${begun} streams have begun`);
  }
  return { on, over, ended: Promise.all(calls) };
}

test("calls are spread over equal boxes", async () => {
  const calls: Streamed[] = [];
  for (let burst = 0; burst < 4; burst += 1) {
    const asked = AGENT_TYPES.flatMap((agentType) => [agentType, agentType, agentType, agentType]);
    calls.push(...(await Promise.all(asked.map((agentType) => callEdge(stack, { tokens: 8, agentType })))));
  }
  expectWhole(calls);
  const counts = byBox(calls);
  print("spread", counts);
  for (const box of BOXES) expect(counts[box]).toBeGreaterThan(calls.length * 0.35);
});

/** Takes every slot and place of the server, until it is released or the test is over. */
async function fillUnseen(box: BoxName): Promise<Held> {
  // An agent takes only calls that won't wait too long, by what calls took there of late: these are quick.
  await hold(stack, box, PORT, 12, 1).ended;
  await pace(box, SLOW);
  const held = hold(stack, box, PORT, SLOTS + PLACES);
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

test("a full box is left alone while the other has room; where both are full the edge refuses at once, and asks neither", async () => {
  await fill("north");
  await untilCallsGoTo("south");
  const asked = async (box: BoxName): Promise<number> =>
    (await figure(agentOf(stack, box), "isha_requests_total")) +
    (await serverState(stack, box, PORT)).generating;
  // An edge that has just begun anew knows nothing for a moment: it asks north too, and south serves all the same.
  let bursts = 0;
  let spilt: Streamed[] = [];
  await until(async () => {
    bursts += 1;
    const before = await asked("north");
    spilt = await callsOf(16);
    expectWhole(spilt);
    expect(byBox(spilt)).toEqual({ south: 16 });
    return (await asked("north")) === before;
  }, "north isn't even asked");

  await fill("south");
  await untilRefusedEarly();
  const both = (await asked("north")) + (await asked("south"));
  const refused = await callsOf(20);
  expect((await asked("north")) + (await asked("south"))).toBe(both);
  for (const { status, text, retryAfterS } of refused) {
    expect([status, errorCode(text), text.includes(EARLY)]).toEqual([503, "overloaded", true]);
    expect(retryAfterS).toBeGreaterThanOrEqual(1);
  }
  print("spill", { ...byBox(spilt), bursts, refusedEarly: refused.length });
});

test("a drained box gets no new call, what runs there finishes, and a restart of its agent changes nothing", async () => {
  const before = await running(4, 400);
  expect(new Set(before.on).size).toBe(2);
  onTestFinished(async () => void (await admin(stack, "POST", "/boxes/north/resume")));
  expect((await admin(stack, "POST", "/boxes/north/drain")).status).toBe(202);
  await until(async () => (await ownView(stack, "north")).draining, "the agent has heard of it");
  const seen = async (): Promise<number> =>
    (await serverState(stack, "north", PORT)).requestsByRoute["/v1/chat/completions"] ?? 0;
  const asked = await seen();
  const during = await callsOf(12);
  const ended = await before.ended;
  expectWhole([...ended, ...during]);
  expect(byBox(during)).toEqual({ south: 12 });
  // Whoever watches is told: by the box that none of its servers takes a call, by the edge that the box isn't up.
  const own = BoxHealth.parse(await (await fetch(`${agentOf(stack, "north").agentUrl}/healthz`)).json());
  expect(new Set(own.servers.map(({ state }) => state))).toEqual(new Set(["down"]));
  await expect
    .poll(async () => (await fetch(`${stack.edgeUrl}/healthz`)).json(), { timeout: 10_000 })
    .toMatchObject({ status: "degraded", boxes: { north: "down", south: "up" } });

  // From its first moment on: the edge knows of the drain, whatever a young agent says before it has heard of it.
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
  expect(await seen()).toBe(asked);

  expect((await admin(stack, "POST", "/boxes/north/resume")).status).toBe(202);
  const resumedAt = performance.now();
  await until(async () => (await callEdge(stack, { tokens: 1 })).box === "north", "north takes calls again");
  const backMs = Math.round(performance.now() - resumedAt);
  const { entries } = (await (await admin(stack, "GET", "/audit")).json()) as {
    entries: { action: string; target: string }[];
  };
  const audited = entries.map(({ action, target }) => `${action} ${target}`);
  expect(audited).toEqual(expect.arrayContaining(["box.drain north", "box.resume north"]));
  print("drain", {
    runningOn: byBox(before.on.map((box) => ({ box }))),
    during: byBox(during),
    restarted: byBox(restarted),
    backMs,
  });
});

test("a lost box ends the streams it was sending with one error event, and nothing else; once back it is used again", async () => {
  for (const box of BOXES) await pace(box, 150);
  onTestFinished(async () => {
    for (const box of BOXES) await pace(box, QUICK);
  });
  const before = await running(4, 600);
  expect(new Set(before.on).size).toBe(2);
  const overBefore = new Set(before.over);
  let isNorthUp = false;
  onTestFinished(async () => {
    if (!isNorthUp) await stack.startAgent("north");
  });
  await stack.killAgent("north");
  // Fewer than a key's half of south's places: both of its slots are taken.
  const after = await callsOf(12);
  const ended = await before.ended;
  const lost = ended.filter((call) => call.box === "north" && !overBefore.has(call));
  for (const { status, text } of lost) {
    const { dones, errors, finishes } = readStream(text);
    expect({ status, dones, errors, finishes }).toEqual({
      status: 200,
      dones: 0,
      errors: ["box_unreachable"],
      finishes: [],
    });
  }
  expect(lost.length).toBeGreaterThan(0);
  expectWhole([...ended.filter((call) => !lost.includes(call)), ...after]);
  expect(byBox(after)).toEqual({ south: 12 });

  await stack.startAgent("north");
  isNorthUp = true;
  const startedAt = performance.now();
  await until(async () => {
    const call = await callEdge(stack, { tokens: 1 });
    expectWhole([call]);
    return call.box === "north";
  }, "north is used again");
  print("loss", {
    streaming: byBox(ended),
    endedWithAnError: lost.length,
    newCalls: byBox(after),
    usedAgainMs: Math.round(performance.now() - startedAt),
  });
});

test("a box whose link is cut is used where the others are full, and with no link at all calls go by the fleet file", async () => {
  onTestFinished(() => BOXES.forEach((box) => links.mend(box)));
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
  // Nobody tells the edge that north is full now; north's agent does.
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
