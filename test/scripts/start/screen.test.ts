import { describe, expect, it } from "vitest";
import fleet from "../../../fleet.config.ts";
import { exampleCurl, paint, startScreen } from "../../../scripts/start/screen.ts";

describe("npm start's screen", () => {
  const box = (name: string, simulated: boolean) => ({
    name,
    agentUrl: "http://127.0.0.1:8000",
    agentPid: 1,
    servers: [
      {
        port: 8080,
        model: "Small",
        url: "http://127.0.0.1:41000",
        controlUrl: null,
        pid: simulated ? 4_100 : null,
        simulated,
      },
    ],
  });
  const nothing = async (): Promise<void> => {};
  const stack = {
    fleet,
    edgeUrl: "http://127.0.0.1:8788",
    boxSecret: "s",
    llamaApiKey: "l",
    logs: () => [],
    killServer: nothing,
    startServer: nothing,
    restartAgent: nothing,
    killAgent: nothing,
    startAgent: nothing,
    stopEdge: nothing,
    startEdge: nothing,
    stop: nothing,
  };
  const screen = (boxes: ReturnType<typeof box>[], gpuSimulated = true): string =>
    startScreen({
      gpuSimulated,
      stack: { ...stack, boxes },
      stateOf: () => "ready",
      notes: ["Port 8787 is busy."],
      paint: paint(false),
    });

  it("has the URLs, the servers, what is simulated, and a curl for an agent type there is", () => {
    const text = screen([box("box1", true)]);
    for (const part of [
      "http://localhost:8788/docs",
      "Port 8787 is busy.",
      "x-isha-simulated: 1",
      "-- --real",
    ]) {
      expect(text).toContain(part);
    }
    expect(text).toMatch(/8080 +Small +simulated at http:\/\/127\.0\.0\.1:41000 +ready/);
    expect(text).toContain(`  ${exampleCurl("http://localhost:8788", fleet)}\n`);
    expect(text).toMatch(/curl -N .+ -H 'Authorization: Bearer dev-key' .+"agent_type":"Clinical"/);
  });

  it("doesn't call real servers simulated, and names the boxes if there are several", () => {
    const text = screen([box("east", false), box("west", true)]);
    expect(text).toMatch(/east +8080 +Small +real, at/);
    expect(text).toMatch(/west +8080 +Small +simulated at/);
    expect(screen([box("box1", false)])).toContain("Every llama-server is a real one.");
  });

  it("says that the GPU is simulated only if it is", () => {
    expect(screen([box("box1", true)])).toContain("The GPU is simulated too");
    expect(screen([box("box1", true)], false)).not.toContain("GPU");
  });

  it("has commands that break something of ours, and none for a real server", () => {
    const text = screen([box("box1", true)]);
    expect(text).toMatch(/^ {2}kill -9 4100 +# Small on 8080/m);
    expect(text).toMatch(/^ {2}ISHA_URL=http:\/\/localhost:8788 .* npm run isha -- box restart box1 8080$/m);
    expect(screen([box("box1", false)])).not.toContain("kill -9");
  });

  it("has no colour codes without a terminal", () => {
    expect(screen([box("box1", true)])).not.toContain("\u001B");
    expect(paint(true).bold("x")).toBe("\u001B[1mx\u001B[0m");
  });
});
