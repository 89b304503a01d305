import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { boxHealth } from "../../origin-agent/health.ts";
import { openUpstreams, type Upstream } from "../../origin-agent/upstreams.ts";
import { LLAMA_API_KEY, testBox } from "./box.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** A server that only answers `/health`, with this status, and counts how often it was asked. */
async function healthServer(status: number): Promise<{ port: number; asked: () => number }> {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    response.writeHead(status).end("{}");
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return { port: (server.address() as AddressInfo).port, asked: () => asked };
}

function upstreamsAt(ports: Readonly<Record<number, number>>): ReadonlyMap<number, Upstream> {
  const upstreamPorts = new Map(Object.entries(ports).map(([port, real]) => [Number(port), real]));
  const upstreams = openUpstreams(testBox(), {
    llamaApiKey: LLAMA_API_KEY,
    upstreamPorts,
    simulatedPorts: new Set(),
  });
  closing.push(() => Promise.all([...upstreams.values()].map((upstream) => upstream.close())));
  return upstreams;
}

describe("a box's health", () => {
  it("says each server's state by the fleet file's port, in its order", async () => {
    const [ready, loading] = [await healthServer(200), await healthServer(503)];
    const health = boxHealth(
      "north",
      "1.2.3",
      upstreamsAt({ 9101: ready.port, 9102: loading.port }),
      () => 0,
    );
    expect(await health()).toEqual({
      box: "north",
      version: "1.2.3",
      servers: [
        { port: 9101, model: "Heron-3B", state: "ready" },
        { port: 9102, model: "Heron-3B", state: "loading" },
        { port: 9103, model: "Wren-1B", state: "down" },
      ],
    });
  });

  it("is looked at once for all who ask within a second, and anew after it", async () => {
    const server = await healthServer(200);
    let now = 5_000;
    const health = boxHealth("north", "1.2.3", upstreamsAt({ 9101: server.port }), () => now);
    await Promise.all([health(), health(), health()]);
    now += 999;
    await health();
    expect(server.asked()).toBe(1);
    now += 1;
    await Promise.all([health(), health()]);
    expect(server.asked()).toBe(2);
  });
});
