import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { probeHealth } from "../../../origin-agent/probes/llama.ts";
import { ProbeConnection } from "../../../origin-agent/probes/probe-connection.ts";
import { PROBE_TIMEOUT_MS } from "../../../shared/limits.ts";
import { interceptDeadlines } from "../support/manual-deadlines.ts";

let close = (): Promise<unknown> => Promise.resolve();
afterEach(async () => {
  vi.restoreAllMocks();
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
    expect(await probeHealth(new ProbeConnection(origin))).toBe(state);
  });

  it("sends GET /health and nothing else", async () => {
    const received: string[] = [];
    const origin = await serving((request, response) => {
      received.push(`${request.method} ${request.url}`);
      response.end("{}");
    });
    await probeHealth(new ProbeConnection(origin));
    expect(received).toEqual(["GET /health"]);
  });

  it("reports refused if no process listens", async () => {
    const origin = await serving(() => undefined);
    await close();
    close = () => Promise.resolve();
    expect(await probeHealth(new ProbeConnection(origin))).toBe("refused");
  });

  it("reports other if the connection breaks before the answer", async () => {
    const origin = await serving((request) => void request.socket.destroy());
    expect(await probeHealth(new ProbeConnection(origin))).toBe("other");
  });

  it("reports a timeout after a second without an answer: a hung server still accepts connections", async () => {
    const passDeadline = interceptDeadlines(PROBE_TIMEOUT_MS);
    const origin = await serving(() => passDeadline());
    expect(await probeHealth(new ProbeConnection(origin))).toBe("timeout");
    expect(PROBE_TIMEOUT_MS).toBe(1_000);
  });
});
