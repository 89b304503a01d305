// Requests to a server's token routes: two at a time, and no slot.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Placement } from "../../../origin-agent/servers/dispatch.ts";
import { TOKEN_REQUESTS_PER_SERVER } from "../../../shared/limits.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { until } from "../../support/until.ts";
import { answered, ask, callOf } from "../support/ask.ts";
import { queuedCalls, reset, startAgent, startSimulator, WANTED, type TestAgent } from "../support/box.ts";

let wanted: SimulatedServer;
let agent: TestAgent;
/** The counts that the agent has requested and that wait for the test. */
const counting: ((tokens: number) => void)[] = [];

beforeAll(async () => {
  wanted = await startSimulator(WANTED);
  agent = await startAgent(
    { [WANTED]: wanted.port },
    { countTokens: () => new Promise((resolve) => void counting.push(resolve)) },
  );
});
beforeEach(async () => {
  await reset(wanted);
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await wanted.stop();
});

const ONE = { ports: [WANTED], fallbackPorts: [] };

function place(signal = new AbortController().signal): Promise<Placement> {
  return agent.live.dispatch.place({
    call: callOf(ONE),
    ports: [WANTED],
    slots: "none",
    waitMs: 0,
    patient: false,
    deadlineAt: Infinity,
    begun: false,
    signal,
    onWait: () => undefined,
  });
}

function grantOf(placement: Placement): Extract<Placement, { kind: "granted" }>["grant"] {
  if (placement.kind !== "granted") throw new Error(placement.kind);
  return placement.grant;
}

describe("requests that take no slot", () => {
  it("run two at a time on a server; the next begins when one ends, and no slot is taken", async () => {
    const first = grantOf(await place());
    const second = grantOf(await place());
    let third: Placement | null = null;
    const waiting = place().then((placed) => (third = placed));
    const left = new AbortController();
    const leaving = place(left.signal);
    left.abort();
    expect((await leaving).kind).toBe("aborted");
    expect(third).toBeNull();
    expect(agent.live.servers.get(WANTED)?.slots.leased).toBe(0);
    expect((await answered(agent.port, { call: ONE })).status).toBe(200);
    expect(queuedCalls(agent)).toBe(0);
    first.finish(null);
    // However often a request is ended, it frees its room once.
    first.close();
    await waiting;
    second.refused(null);
    const placed = third as Placement | null;
    if (placed !== null) grantOf(placed).close();
    const both = [grantOf(await place()), grantOf(await place())];
    for (const grant of both) grant.close();
  });

  it("wait without the slots' queue, and fail if the server is down", async () => {
    await wanted.set({ stall: true });
    const calls = Array.from({ length: 4 }, () => ask(agent.port, { call: { ...ONE, stream: true } }));
    await until(() => queuedCalls(agent) === 2);
    grantOf(await place()).close();
    for (const one of calls) one.leave();
    await wanted.set({ stall: false, refuse: true });
    await until(() => agent.live.servers.get(WANTED)?.usable === false);
    expect((await place()).kind).toBe("none");
  });
});

describe("the agent's own requests for token counts", () => {
  it("run two at a time on a server, however many answers wait for theirs", async () => {
    const calls = Array.from({ length: 4 }, (_, at) =>
      answered(agent.port, { call: { ...ONE, keyId: `key-${at}`, choices: 2 }, body: { n: 2 } }),
    );
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200);
    await until(() => counting.length === TOKEN_REQUESTS_PER_SERVER);
    const most = counting.length;
    for (let done = 0; done < 4; done += 1) {
      await until(() => counting.length > 0);
      expect(counting.length).toBeLessThanOrEqual(most);
      counting.shift()?.(7);
    }
    await agent.allBooked();
    expect(counting).toEqual([]);
  });
});
