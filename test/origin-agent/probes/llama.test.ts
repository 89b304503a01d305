import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { probeHealth } from "../../../origin-agent/probes/llama.ts";
import { PROBE_TIMEOUT_MS } from "../../../shared/limits.ts";

/** Ends the time for an answer; it never ends by itself here. */
let timeIsUp: () => void;
let timeout: ReturnType<typeof vi.spyOn>;
beforeEach(() => {
  const limit = new AbortController();
  timeIsUp = () => limit.abort(new DOMException("the time is up", "TimeoutError"));
  timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal);
});

let close = (): Promise<unknown> => Promise.resolve();
afterEach(async () => {
  timeout.mockRestore();
  await close();
});

/** Where a server listens that answers like this. */
async function serving(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("a look at a llama-server", () => {
  it.each([
    [200, "ok"],
    [503, "loading"],
    [500, "other"],
    [404, "other"],
    [302, "other"],
  ])("of status %i is told as %s", async (status, state) => {
    const origin = await serving((_, response) => void response.writeHead(status).end("{}"));
    expect(await probeHealth(origin)).toBe(state);
  });

  it("asks GET /health, and for nothing else", async () => {
    const asked: string[] = [];
    const origin = await serving((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end("{}");
    });
    await probeHealth(origin);
    expect(asked).toEqual(["GET /health"]);
  });

  it("tells a refusal where nothing listens", async () => {
    const origin = await serving(() => undefined);
    await close();
    close = () => Promise.resolve();
    expect(await probeHealth(origin)).toBe("refused");
  });

  it("tells something else where the connection breaks before the answer", async () => {
    const origin = await serving((request) => void request.socket.destroy());
    expect(await probeHealth(origin)).toBe("other");
  });

  it("tells a time-out if it says nothing for a second: a hung server still accepts", async () => {
    const origin = await serving(() => timeIsUp());
    expect(await probeHealth(origin)).toBe("timeout");
    expect(timeout).toHaveBeenCalledExactlyOnceWith(PROBE_TIMEOUT_MS);
    expect(PROBE_TIMEOUT_MS).toBe(1_000);
  });
});
