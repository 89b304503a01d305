import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { readSlots, type SlotReading } from "../../../origin-agent/probes/llama.ts";
import { ProbeConnection } from "../../../origin-agent/probes/probe-connection.ts";
import { PROBE_TIMEOUT_MS } from "../../../shared/limits.ts";
import { startLlamaServer, type SimulatedServer } from "../../sim/start.ts";
import { interceptDeadlines } from "../support/manual-deadlines.ts";
import { until } from "../../support/until.ts";

const KEY = "a-key-of-the-box";
const CALL = { prompt: "What is a deductible?", max_tokens: 400, ignore_eos: true, id_slot: 1, stream: true };

afterEach(() => vi.restoreAllMocks());

describe("a llama-server's slots", () => {
  let server: SimulatedServer;
  beforeAll(async () => {
    server = await startLlamaServer({ alias: "Test-8B.gguf", parallel: 2, context: 4_096, apiKey: KEY });
  });
  afterAll(async () => server.stop());

  it("are idle and have no task before the first call", async () => {
    const none = { busy: false, task: null, decoded: null, tokens: null, promptProcessed: null };
    expect(await readSlots(new ProbeConnection(server.url), KEY)).toEqual([
      { id: 0, ...none },
      { id: 1, ...none },
    ]);
  });

  it("show a running call's progress and its end", async () => {
    await server.set({ stallAfterTokens: 2 });
    const leave = new AbortController();
    const answer = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: JSON.stringify(CALL),
      signal: leave.signal,
    });
    const slot = async (): Promise<SlotReading> => {
      const slots = await readSlots(new ProbeConnection(server.url), KEY);
      const found = slots?.[1];
      if (typeof found !== "object") throw new Error("no slot 1");
      return found;
    };
    const first = await until(async () => {
      const reading = await slot();
      return reading.decoded === 2 ? reading : null;
    }, "two tokens");
    expect(first.busy).toBe(true);
    expect(first.task).not.toBe(null);
    expect(first.promptProcessed).toBeGreaterThan(0);
    await server.set({ stallAfterTokens: 4 });
    const later = await until(async () => {
      const reading = await slot();
      return reading.decoded === 4 ? reading : null;
    }, "four tokens");
    expect(later).toMatchObject({ busy: true, task: first.task });
    leave.abort();
    await answer.body?.cancel().catch(() => undefined);
    const idle = await until(async () => {
      const reading = await slot();
      return reading.busy ? null : reading;
    }, "the slot to be idle");
    expect(idle).toMatchObject({ task: first.task, decoded: 0 });
  });

  it("are null while the server is loading and after it has exited; a wrong key is reported as such", async () => {
    expect(await readSlots(new ProbeConnection(server.url), "wrong")).toBe("wrong-key");
    await server.set({ loading: true });
    expect(await readSlots(new ProbeConnection(server.url), KEY)).toBe(null);
    await server.set({ loading: false, reset: true });
    expect(await readSlots(new ProbeConnection(server.url), KEY)).toBe(null);
    await server.set({ reset: false });
    expect(await readSlots(new ProbeConnection(server.url), KEY)).toHaveLength(2);
    await server.die();
    expect(await readSlots(new ProbeConnection(server.url), KEY)).toBe(null);
  });
});

describe("an unexpected answer", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function answering(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const with200 = async (body: string): Promise<string> =>
    answering((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(body));

  it.each<[string, string]>([
    ["HTML", "<html>"],
    ["an empty body", ""],
    ["another structure", '{"slots":[]}'],
    ["a slot without an id", '[{"is_processing":true}]'],
    ["an incomplete body", '[{"id":0,"is_processing":'],
  ])("(%s) is null", async (_, body) => {
    const origin = await with200(body);
    expect(await readSlots(new ProbeConnection(origin), KEY)).toBe(null);
  });

  it("has null for invalid figures; an older server's format is read", async () => {
    const origin = await with200(
      JSON.stringify([
        {
          id: 0,
          is_processing: true,
          id_task: -1,
          n_prompt_tokens_processed: "9",
          next_token: [{ n_decoded: -4 }],
        },
        { id: 1, is_processing: true, id_task: 5, next_token: { n_decoded: 7 }, prompt: "never kept" },
        { id: 2, is_processing: false, next_token: [] },
      ]),
    );
    const unknown = { tokens: null, promptProcessed: null };
    expect(await readSlots(new ProbeConnection(origin), KEY)).toEqual([
      { id: 0, busy: true, task: null, decoded: null, ...unknown },
      { id: 1, busy: true, task: 5, decoded: 7, ...unknown },
      { id: 2, busy: false, task: null, decoded: null, ...unknown },
    ]);
  });

  it("that never ends is read only up to a limit", async () => {
    let closed = false;
    const origin = await answering((_, response) => {
      response.once("close", () => (closed = true));
      const more = (): void => {
        while (!response.destroyed && response.write("[".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    });
    expect(await readSlots(new ProbeConnection(origin), KEY)).toBe(null);
    await until(() => closed, "the connection to be closed");
  });

  it("that never arrives is null after a second", async () => {
    const passDeadline = interceptDeadlines(PROBE_TIMEOUT_MS);
    const hung = await answering(() => passDeadline());
    expect(await readSlots(new ProbeConnection(hung), KEY)).toBe(null);
  });

  it("is requested with the key, on a connection that is closed afterwards", async () => {
    const heads: (string | undefined)[] = [];
    const origin = await answering(({ headers }, response) => {
      heads.push(headers.authorization, headers.connection);
      response.end("[]");
    });
    expect(await readSlots(new ProbeConnection(origin), KEY)).toEqual([]);
    expect(heads).toEqual([`Bearer ${KEY}`, "close"]);
  });
});
