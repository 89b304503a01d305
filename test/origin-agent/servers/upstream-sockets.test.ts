// The requests that reach a llama-server: headers, connections, number of calls at the same time.
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Exchange } from "../../../origin-agent/servers/upstream-sockets.ts";
import { MAX_RETRIES_A_CALL } from "../../../shared/limits.ts";
import type { SimulatedServer } from "../../sim/start.ts";
import { answered } from "../support/ask.ts";
import {
  callsOf,
  endsOf,
  LLAMA_API_KEY,
  OTHER,
  reset,
  startAgent,
  startSimulator,
  WANTED,
  type TestAgent,
} from "../support/box.ts";
import { startRecordedServer, type RecordedServer } from "../support/recorded-server.ts";
import { recordedBody } from "../support/transcripts.ts";
import { until } from "../../support/until.ts";

let simulator: SimulatedServer;
let recorded: RecordedServer;
let agent: TestAgent;

beforeAll(async () => {
  [simulator, recorded] = await Promise.all([startSimulator(WANTED), startRecordedServer()]);
  agent = await startAgent({ [WANTED]: simulator.port, [OTHER]: recorded.port });
});
beforeEach(async () => {
  await reset(simulator);
  await agent.settled();
});
afterAll(async () => {
  await agent.close();
  await Promise.all([simulator.stop(), recorded.close()]);
});

const ALLOWED = ["accept", "authorization", "connection", "content-length", "content-type", "host"];

describe("toward llama-server", () => {
  it.each([true, false])(
    "nothing goes out but content type, length, accept, its key and HTTP's own (stream: %s)",
    async (stream) => {
      const strangers = {
        "x-conversation-id": "conv-1",
        "x-api-key": "a client's",
        authorization: "Bearer a client's",
        cookie: "session=1",
        "accept-encoding": "gzip, br",
        "x-forwarded-for": "203.0.113.7",
        origin: "https://app.example.org",
        "user-agent": "a client",
        traceparent: "00-1-1-01",
      };
      await answered(agent.port, { call: { stream }, headers: strangers });
      const [received] = await callsOf(simulator);
      expect(Object.keys(received?.headers ?? {}).sort()).toEqual(ALLOWED);
      expect(received?.headers).toMatchObject({
        accept: stream ? "text/event-stream" : "application/json",
        authorization: `Bearer ${LLAMA_API_KEY}`,
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(received?.body ?? "")),
      });
      expect(received).toMatchObject({ method: "POST", path: "/v1/chat/completions" });
    },
  );

  it("no part of the client's or the edge's headers goes out, on a second try neither", async () => {
    await answered(agent.port);
    await simulator.set({ staleKeepAlive: true });
    await answered(agent.port, { call: { scope: "scope-1" }, headers: { "x-conversation-id": "conv-1" } });
    for (const { headers } of await callsOf(simulator)) {
      expect(Object.keys(headers).sort()).toEqual(ALLOWED);
      expect(JSON.stringify(headers)).not.toMatch(/conv-1|scope-1|key-1|req-1|isha/);
    }
  });
});

describe("a kept connection that is gone", () => {
  it("before a byte of the answer is made good on a fresh one, and the client never sees it", async () => {
    await simulator.set({ staleKeepAlive: true });
    for (let round = 0; round < 5; round += 1) {
      const answer = await answered(agent.port);
      expect(answer.status).toBe(200);
      expect(answer.headers["x-isha-port"]).toBe(String(WANTED));
    }
    expect((await endsOf(simulator)).map(({ outcome }) => outcome)).toEqual(Array(5).fill("complete"));
  });

  it("as llama-server's are after every stream, is never a client's matter", async () => {
    for (let round = 0; round < 30; round += 1) {
      const answer = await answered(agent.port, { call: { stream: round % 3 > 0 }, body: { max_tokens: 3 } });
      expect(answer.status).toBe(200);
      expect(answer.complete).toBe(true);
    }
  });

  it("is distinguished from a started answer: a request that the server may have worked on costs a retry each time it is sent again", async () => {
    await answered(agent.port);
    await simulator.forget();
    await simulator.set({ fault: "halfHeader" });
    const answer = await answered(agent.port);
    expect([502, 503]).toContain(answer.status);
    expect(answer.headers["x-isha-started"]).toBe("1");
    expect((await callsOf(simulator)).length).toBeLessThanOrEqual(1 + MAX_RETRIES_A_CALL);
  });

  it("and a connection that is there is used again", async () => {
    const call = { wantedPort: OTHER, ports: [OTHER], fallbackPorts: [] };
    recorded.play("application/json", [recordedBody("chat")], { keepAlive: true });
    for (let round = 0; round < 3; round += 1)
      expect((await answered(agent.port, { call })).status).toBe(200);
    expect(recorded.calls).toEqual({ count: 3, onNeedlessConnections: 0 });
  });

  it("and none is left open after calls but the one that is kept", async () => {
    for (let round = 0; round < 3; round += 1) await answered(agent.port);
    await until(async () => (await simulator.state()).openSockets <= 1);
    expect((await callsOf(simulator)).map(({ headers }) => headers["connection"])).toEqual(
      Array(3).fill("keep-alive"),
    );
  });
});

describe("a request that was never written", () => {
  it.each([
    ["ECONNREFUSED", "refused"],
    ["UND_ERR_CONNECT_TIMEOUT", "unconnected"],
    ["EHOSTUNREACH", "unconnected"],
    ["EMFILE", "unconnected"],
  ])("after %s is %s: only a refusal proves that no process listens", (code, failure) => {
    const failed = vi.fn();
    const listener = { sent: vi.fn(), head: vi.fn(), data: vi.fn(), end: vi.fn(), failed, threw: vi.fn() };
    const exchange = new Exchange(listener);
    exchange.onResponseError(null as never, Object.assign(new Error("no connection"), { code }));
    expect(failed.mock.calls).toEqual([[failure]]);
  });
});
