// Checks that a request which was in flight at two deaths is never sent again, whatever the sockets looked like, and
// that a connection which breaks late is judged by the server's `/health`.
import { describe, expect, it, vi } from "vitest";
import { Exchange } from "../../../origin-agent/servers/upstream-sockets.ts";
import type { Call } from "../../../shared/call-headers.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { until } from "../../support/until.ts";
import { answered, ask, errorOf } from "../support/ask.ts";
import { callsOf, OTHER, REPLICA, WANTED, type TestAgent } from "../support/box.ts";
import { ownServers } from "./support/servers.ts";

const own = ownServers();

/** Kills a server that gets a prompt with it. */
const POISON = "zyanide";
const PROMPT = { messages: [{ role: "user", content: `Patient complaint: ${POISON}` }] };

/** Longer after a write than a stale connection takes to fail. */
const LATE_MS = 60;

const only = (port: number): Partial<Call> => ({ wantedPort: port, ports: [port], fallbackPorts: [] });

interface Box {
  readonly agent: TestAgent;
  readonly first: SimulatedServer;
  readonly second: SimulatedServer;
  readonly third: SimulatedServer;
}

/** Two servers that the prompt kills, and a third of another model that it doesn't. */
async function mortalBox(): Promise<Box> {
  const [first, second, third] = await Promise.all([
    own.server(WANTED, { dieOnWord: POISON }),
    own.server(REPLICA, { dieOnWord: POISON }),
    own.server(OTHER),
  ]);
  const agent = await own.agent({ [WANTED]: first, [REPLICA]: second, [OTHER]: third });
  return { agent, first, second, third };
}

/** Leaves a kept connection to each of these servers. */
async function warm(agent: TestAgent, servers: Readonly<Record<number, SimulatedServer>>): Promise<void> {
  for (const [port, server] of Object.entries(servers)) {
    expect((await answered(agent.port, { call: only(Number(port)) })).status).toBe(200);
    await server.forget();
  }
}

/** Lets a server that has the call, and holds it, kill itself after a stale connection would have failed. */
async function releaseLate(agent: TestAgent, server: SimulatedServer): Promise<void> {
  await until(async () => (await callsOf(server)).length === 1);
  agent.later(LATE_MS);
  await server.set({ holdPickUp: false }).catch(() => undefined);
}

describe("a request that kills its server", () => {
  describe.each([true, false])("(stream: %s)", (stream) => {
    describe.each(["warm", "cold"] as const)("over a %s socket", (sockets) => {
      it.each(["at once", "late"] as const)("%s, kills two and is never sent again", async (when) => {
        const { agent, first, second, third } = await mortalBox();
        if (sockets === "warm") await warm(agent, { [WANTED]: first, [REPLICA]: second });
        const isLate = when === "late";
        if (isLate) for (const server of [first, second]) await server.set({ holdPickUp: true });
        const body = JSON.stringify({ ...PROMPT, stream });
        const asked = ask(agent.port, { call: { stream }, body });
        if (isLate) for (const server of [first, second]) await releaseLate(agent, server);
        const answers = [await asked.answer];
        await Promise.all([first.exited, second.exited]);
        // The same bytes, from a client that resends them: to any port, with any key.
        for (const call of [{ stream }, { stream, keyId: "another-key" }, { ...only(OTHER), stream }])
          answers.push(await answered(agent.port, { call, body }));
        for (const answer of answers) {
          expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
          expect(answer.headers).toMatchObject({ "x-isha-started": "1", "x-should-retry": "false" });
        }
        expect(await callsOf(third)).toEqual([]);
      });
    });
  });

  it("is refused for ten minutes, and other requests aren't", async () => {
    const { agent } = await mortalBox();
    const body = JSON.stringify(PROMPT);
    const call = { ports: [WANTED, REPLICA], fallbackPorts: [OTHER] };
    expect((await answered(agent.port, { call, body })).status).toBe(502);
    expect((await answered(agent.port, { call })).status).toBe(200);
    agent.later(10 * 60_000 - 1);
    expect((await answered(agent.port, { call, body })).status).toBe(502);
    agent.later(1);
    expect((await answered(agent.port, { call, body })).status).toBe(200);
  });

  it("over a reused socket that seemed stale counts as started, even if the resend is refused", async () => {
    const server = await own.server(WANTED, { dieOnWord: POISON });
    const agent = await own.agent({ [WANTED]: server });
    await warm(agent, { [WANTED]: server });
    const answer = await answered(agent.port, { call: only(WANTED), body: PROMPT });
    expect(answer.headers["x-isha-started"]).toBe("1");
    await until(() => agent.calls().length === 2);
    expect(agent.calls()[1]).toMatchObject({ replays: 1 });
  });
});

describe("a reused connection that breaks", () => {
  it("late, of a server whose /health is ok, costs a retry and is no death", async () => {
    const server = await own.server(WANTED);
    const agent = await own.agent({ [WANTED]: server });
    await warm(agent, { [WANTED]: server });
    await server.set({ staleKeepAlive: true });
    const ended = vi.spyOn(Exchange.prototype, "onResponseError");
    ended.mockImplementationOnce(function late(this: Exchange, ...event) {
      agent.later(LATE_MS);
      // The mock is used up: this is the real method.
      this.onResponseError(...event);
    });
    const answer = await answered(agent.port, { call: only(WANTED) });
    vi.restoreAllMocks();
    expect(answer.status).toBe(200);
    await until(() => agent.calls().length === 2);
    expect(agent.calls()[1]).toMatchObject({ outcome: "complete", replays: 1 });
  });

  it("at once is resent on a fresh one, which costs no retry", async () => {
    const server = await own.server(WANTED);
    const agent = await own.agent({ [WANTED]: server });
    await warm(agent, { [WANTED]: server });
    await server.set({ staleKeepAlive: true });
    expect((await answered(agent.port, { call: only(WANTED) })).status).toBe(200);
    await until(() => agent.calls().length === 2);
    expect(agent.calls()[1]).toMatchObject({ outcome: "complete" });
    expect(agent.calls()[1]).not.toHaveProperty("replays");
  });
});
