import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { probeState } from "../../../origin-agent/probes/llama.ts";

let close = (): Promise<unknown> => Promise.resolve();
afterEach(() => close());

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
    [200, "ready"],
    [503, "loading"],
    [500, "down"],
    [404, "down"],
    [302, "down"],
  ])("of status %i finds it %s", async (status, state) => {
    const origin = await serving((_, response) => void response.writeHead(status).end("{}"));
    expect(await probeState(origin)).toBe(state);
  });

  it("asks GET /health, and for nothing else", async () => {
    const asked: string[] = [];
    const origin = await serving((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end("{}");
    });
    await probeState(origin);
    expect(asked).toEqual(["GET /health"]);
  });

  it("finds it down where nothing listens", async () => {
    const origin = await serving(() => undefined);
    await close();
    close = () => Promise.resolve();
    expect(await probeState(origin)).toBe("down");
  });

  it("finds it down where the connection breaks before the answer", async () => {
    const origin = await serving((request) => void request.socket.destroy());
    expect(await probeState(origin)).toBe("down");
  });

  it("finds it down where it says nothing for a second: a hung server still accepts", async () => {
    const origin = await serving(() => undefined);
    expect(await probeState(origin)).toBe("down");
  });
});
