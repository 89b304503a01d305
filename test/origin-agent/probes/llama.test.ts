import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { probeHealth } from "../../../origin-agent/probes/llama.ts";
import { PROBE_TIMEOUT_MS } from "../../../shared/limits.ts";

/** Makes the timeout expire; it never does by itself here. */
let expire: () => void;
let timeout: ReturnType<typeof vi.spyOn>;
beforeEach(() => {
  const limit = new AbortController();
  expire = () => limit.abort(new DOMException("timed out", "TimeoutError"));
  timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal);
});

let close = (): Promise<unknown> => Promise.resolve();
afterEach(async () => {
  timeout.mockRestore();
  await close();
});

/** Starts a server with this handler and returns its URL. */
async function serving(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("a health probe", () => {
  it.each([
    [200, "ok"],
    [503, "loading"],
    [500, "other"],
    [404, "other"],
    [302, "other"],
  ])("reports status %i as %s", async (status, state) => {
    const origin = await serving((_, response) => void response.writeHead(status).end("{}"));
    expect(await probeHealth(origin)).toBe(state);
  });

  it("sends GET /health and nothing else", async () => {
    const received: string[] = [];
    const origin = await serving((request, response) => {
      received.push(`${request.method} ${request.url}`);
      response.end("{}");
    });
    await probeHealth(origin);
    expect(received).toEqual(["GET /health"]);
  });

  it("reports refused if no process listens", async () => {
    const origin = await serving(() => undefined);
    await close();
    close = () => Promise.resolve();
    expect(await probeHealth(origin)).toBe("refused");
  });

  it("reports other if the connection breaks before the answer", async () => {
    const origin = await serving((request) => void request.socket.destroy());
    expect(await probeHealth(origin)).toBe("other");
  });

  it("reports a timeout after a second without an answer: a hung server still accepts connections", async () => {
    const origin = await serving(() => expire());
    expect(await probeHealth(origin)).toBe("timeout");
    expect(timeout).toHaveBeenCalledExactlyOnceWith(PROBE_TIMEOUT_MS);
    expect(PROBE_TIMEOUT_MS).toBe(1_000);
  });
});
