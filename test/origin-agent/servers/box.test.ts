// The rounds of probes go on, whatever happens in one of them.
import { afterEach, expect, it, vi } from "vitest";
import type { Pm2Process } from "../../../origin-agent/probes/pm2-listing.ts";
import type { Pm2Probe, ServerProcess } from "../../../origin-agent/probes/pm2.ts";
import { LiveServer } from "../../../origin-agent/servers/server.ts";
import { openUpstreams, Upstream } from "../../../origin-agent/servers/upstream-sockets.ts";
import { ServerSlots } from "../../../origin-agent/slots/slots.ts";
import { until, WAIT_MS } from "../../support/until.ts";
import { ask } from "../support/ask.ts";
import {
  LLAMA_API_KEY,
  startAgent,
  startSimulator,
  testBox,
  WANTED,
  type TestAgent,
} from "../support/box.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closing.splice(0).reverse()) await close();
});

type FakePm2 = Pick<Pm2Probe, "list" | "restart"> & { lists: number; restarts: ServerProcess[] };

function pm2Of(listed: () => ReturnType<Pm2Probe["list"]>): FakePm2 {
  const pm2: FakePm2 = {
    lists: 0,
    restarts: [],
    list: () => {
      pm2.lists += 1;
      return listed();
    },
    // As of a process that ignores SIGTERM: PM2 replies after its kill timeout.
    restart: (server) => {
      pm2.restarts.push(server);
      return new Promise(() => {});
    },
  };
  return pm2;
}

async function agentWith(pm2: FakePm2, switches = {}): Promise<TestAgent> {
  const simulator = await startSimulator(WANTED, switches);
  closing.push(() => simulator.stop());
  const agent = await startAgent({ [WANTED]: simulator.port }, { pm2 });
  closing.push(() => agent.close());
  await agent.settled(WANTED);
  return agent;
}

/** How PM2 lists the server: with the port on which it really listens. */
function listedAs(agent: TestAgent): ServerProcess {
  const origin = agent.live.servers.get(WANTED)?.upstream.origin ?? "";
  return { name: testBox().servers[0]?.pm2 ?? "", port: Number(new URL(origin).port) };
}

const faults = (agent: TestAgent): unknown[] =>
  agent.log.map((line) => JSON.parse(line)).filter(({ event }) => event === "probe-failed");

it("a restart that PM2 doesn't complete stops no probe", async () => {
  const pm2 = pm2Of(() => Promise.resolve([]));
  const agent = await agentWith(pm2, { busyAfterAbortMs: 600_000, tokensPerSecond: 5 });
  const asked = ask(agent.port, { call: { stream: true }, body: { max_tokens: 500, ignore_eos: true } });
  await asked.arrived(/"content":"[^"]/);
  asked.leave();
  await until(() => agent.live.servers.get(WANTED)?.slots.awaiting === 1);
  agent.serversLater(6_000);
  await until(() => pm2.restarts.length === 1);
  const { lists } = pm2;
  await until(() => {
    agent.serversLater(1_000);
    return pm2.lists >= lists + 3;
  });
  expect(pm2.restarts).toEqual([listedAs(agent)]);
});

it("an exception in a round of PM2's listing ends that round alone", async () => {
  let fails = true;
  const pm2 = pm2Of(() => (fails ? Promise.reject(new RangeError("quotes a secret")) : Promise.resolve([])));
  const agent = await agentWith(pm2);
  await until(() => faults(agent).length > 0);
  expect(faults(agent)[0]).toMatchObject({ port: null, reason: "RangeError" });
  expect(JSON.stringify(agent.log)).not.toContain("quotes a secret");
  fails = false;
  const { lists } = pm2;
  await until(() => {
    agent.serversLater(1_000);
    return pm2.lists > lists;
  });
});

it("an exception in the check for stuck slots ends that check alone", async () => {
  const pm2 = pm2Of(() => Promise.resolve([]));
  const agent = await agentWith(pm2);
  vi.spyOn(ServerSlots.prototype, "stuck").mockImplementation(() => {
    throw new RangeError("no");
  });
  await until(() => faults(agent).length > 1);
  expect(faults(agent)[0]).toMatchObject({ port: WANTED, reason: "RangeError" });
  const { lists } = pm2;
  await until(() => {
    agent.serversLater(1_000);
    return pm2.lists > lists;
  });
});

it("a second process with a server's name is reported once, and again if it comes back", async () => {
  let listed: readonly Pm2Process[] = [];
  const pm2 = pm2Of(() => Promise.resolve(listed));
  const agent = await agentWith(pm2);
  const own = listedAs(agent);
  const entry = { ...own, pmId: 1, pid: 11, status: "online", restarts: 0, uptimeMs: 9_000 } as const;
  listed = [entry, { ...entry, pmId: 2, pid: 12, uptimeMs: 1_000 }];
  const duplicates = (): unknown[] =>
    agent.log.map((line) => JSON.parse(line)).filter(({ event }) => event === "pm2-duplicate");
  const rounds = async (count: number): Promise<void> => {
    const { lists } = pm2;
    await until(() => {
      agent.serversLater(1_000);
      return pm2.lists >= lists + count;
    });
  };
  await rounds(3);
  expect(duplicates()).toMatchObject([
    { level: 40, port: WANTED, name: own.name, own_id: 1, other_ids: [2] },
  ]);
  listed = [entry];
  await rounds(3);
  listed = [entry, { ...entry, pmId: 3, pid: 13, port: own.port + 1 }];
  await rounds(3);
  expect(duplicates()).toMatchObject([{}, { own_id: 1, other_ids: [3] }]);
});

it("an exception in a one-token call leaves its slot free", async () => {
  const agent = await agentWith(pm2Of(() => Promise.resolve([])));
  vi.spyOn(Upstream.prototype, "ask").mockImplementationOnce(() => {
    throw new RangeError("no");
  });
  await until(() => {
    agent.serversLater(10_000);
    return faults(agent).length > 0;
  });
  expect(faults(agent)[0]).toMatchObject({ port: WANTED, reason: "RangeError" });
  await until(() => {
    const slots = agent.live.servers.get(WANTED)?.slots;
    return slots !== undefined && slots.free === slots.total;
  });
});

it("an exception in a probe of a server ends that probe alone", async () => {
  const agent = await agentWith(pm2Of(() => Promise.resolve([])));
  vi.spyOn(ServerSlots.prototype, "observe").mockImplementationOnce(() => {
    throw new RangeError("no");
  });
  await until(() => {
    agent.serversLater(1_000);
    return faults(agent).length > 0;
  });
  expect(faults(agent)[0]).toMatchObject({ port: WANTED, reason: "RangeError" });
  expect((await ask(agent.port).answer).status).toBe(200);
});

interface Alone {
  readonly server: LiveServer;
  readonly faults: unknown[];
  readonly later: (ms: number) => void;
  /** Resolves when the server has planned its probes a few times: what was due has begun. */
  readonly rounds: () => Promise<void>;
  /** How often its `/slots` was read. */
  readonly reads: () => Promise<number>;
}

/** A server of a simulator, with a clock that stands still. */
async function serverAlone(apiKey = LLAMA_API_KEY): Promise<Alone> {
  const simulator = await startSimulator(WANTED);
  closing.push(() => simulator.stop());
  const upstreamPorts = new Map([[WANTED, simulator.port]]);
  const settings = { llamaApiKey: apiKey, upstreamPorts, simulatedPorts: new Set<number>() };
  const upstream = openUpstreams(testBox(), settings).get(WANTED);
  if (upstream === undefined) throw new Error("the box of these tests has no such server");
  const faults: unknown[] = [];
  let now = 1_000;
  let clockReads = 0;
  const server = new LiveServer({
    upstream,
    apiKey,
    healthTimeoutMs: WAIT_MS,
    clock: () => {
      clockReads += 1;
      return now;
    },
    onChange: () => {},
    onHealth: () => {},
    onSlotsUnknown: () => {},
    onProved: () => {},
    onSlots: () => {},
    onFault: (_server, error) => void faults.push(error),
  });
  closing.push(async () => server.stop());
  // As the box does, only more often.
  const ticking = setInterval(() => server.tick(), 10);
  closing.push(async () => clearInterval(ticking));
  return {
    server,
    faults,
    later: (ms) => {
      now += ms;
    },
    rounds: async () => {
      const before = clockReads;
      await until(() => clockReads >= before + 10);
    },
    reads: async () => (await simulator.state()).requestsByRoute["/slots"] ?? 0,
  };
}

it("a probe that fails by an exception begins again after a second, not at once", async () => {
  const observe = vi.spyOn(ServerSlots.prototype, "observe").mockImplementation(() => {
    throw new RangeError("no");
  });
  const { server, faults: seen, later, rounds } = await serverAlone();
  await until(() => seen.length > 0);
  await rounds();
  later(999);
  await rounds();
  expect(seen).toHaveLength(1);
  observe.mockRestore();
  later(1);
  await until(() => server.usable);
  expect(seen).toHaveLength(1);
});

it("an exception while the next probes are planned ends that round alone", async () => {
  const { server, faults: seen, later, reads } = await serverAlone();
  await until(() => server.usable);
  const polling = vi.spyOn(ServerSlots.prototype, "polling", "get").mockImplementation(() => {
    throw new RangeError("no");
  });
  await until(() => seen.length > 0);
  polling.mockRestore();
  const before = await reads();
  await until(async () => {
    later(1_000);
    return (await reads()) > before;
  });
});

it("a server that refuses our key is asked for its slots once a second", async () => {
  const { server, later, rounds, reads } = await serverAlone("another-key-than-the-server's");
  await until(() => server.view().cause.tag === "wrong-key");
  const before = await reads();
  later(999);
  await rounds();
  expect(await reads()).toBe(before);
  later(1);
  await until(async () => (await reads()) === before + 1);
});

it("a server that refuses our key is reported once, with the fix", async () => {
  const simulator = await startSimulator(WANTED);
  closing.push(() => simulator.stop());
  const agent = await startAgent(
    { [WANTED]: simulator.port },
    { llamaApiKey: "another-key-than-the-server's" },
  );
  closing.push(() => agent.close());
  const reads = async (): Promise<number> => (await simulator.state()).requestsByRoute["/slots"] ?? 0;
  await until(async () => {
    agent.serversLater(500);
    return (await reads()) >= 5;
  });
  const reports = agent.log.filter((line) => line.includes("--api-key-file"));
  expect(reports).toHaveLength(1);
  expect(JSON.parse(reports[0] ?? "")).toMatchObject({ event: "health", port: WANTED, to: "down" });
  expect(agent.log.join("")).not.toContain("slots-unknown");
});
