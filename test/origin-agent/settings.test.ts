import { describe, expect, it } from "vitest";
import { readSettings } from "../../origin-agent/settings.ts";

const SECRET = "0123456789abcdef";
const LEAST = { BOX_SECRET: SECRET, LLAMA_API_KEY: "llama-key" };

/** The lines after the heading; none if the environment is valid. */
function faultsOf(environment: Record<string, string | undefined>): string[] {
  try {
    readSettings(environment);
  } catch (error) {
    return (error as Error).message.split("\n").slice(1);
  }
  return [];
}

describe("the agent's settings", () => {
  it("require two secrets and have defaults for everything else", () => {
    expect(readSettings(LEAST)).toEqual({
      fleetFile: null,
      box: null,
      host: "127.0.0.1",
      port: 8000,
      boxSecrets: [SECRET],
      edgeUrl: null,
      llamaApiKey: "llama-key",
      upstreamPorts: new Map(),
      simulatedPorts: new Set(),
      stateFolder: ".isha",
      pm2Home: ".pm2",
      nvidiaSmi: ["nvidia-smi"],
      simulatedGpu: false,
      logLevel: "info",
    });
  });

  it("come from the environment, with both secrets of a rotation in order", () => {
    const settings = readSettings({
      ...LEAST,
      ISHA_FLEET: "/srv/fleet.ts",
      ISHA_BOX: "north",
      AGENT_HOST: "0.0.0.0",
      AGENT_PORT: "0",
      BOX_SECRET_PREVIOUS: "fedcba9876543210",
      EDGE_URL: "https://edge.example.org",
      UPSTREAM_PORTS: '{"9101":41001,"9102":41002}',
      SIMULATED_PORTS: "9101,9102",
      HOME: "/home/models",
      ISHA_STATE: "/var/lib/isha",
      NVIDIA_SMI: '["node","smi.ts"]',
      SIMULATED_GPU: "1",
      LOG_LEVEL: "debug",
      PATH: "/usr/bin",
    });
    expect(settings).toEqual({
      fleetFile: "/srv/fleet.ts",
      box: "north",
      host: "0.0.0.0",
      port: 0,
      boxSecrets: [SECRET, "fedcba9876543210"],
      edgeUrl: "https://edge.example.org",
      llamaApiKey: "llama-key",
      upstreamPorts: new Map([
        [9101, 41_001],
        [9102, 41_002],
      ]),
      simulatedPorts: new Set([9101, 9102]),
      stateFolder: "/var/lib/isha",
      pm2Home: "/home/models/.pm2",
      nvidiaSmi: ["node", "smi.ts"],
      simulatedGpu: true,
      logLevel: "debug",
    });
  });
});

describe("an invalid variable is named, but not its value:", () => {
  it.each([
    ["BOX_SECRET", "too-short-value"],
    ["BOX_SECRET_PREVIOUS", "too-short-value"],
    ["LLAMA_API_KEY", ""],
    ["ISHA_BOX", ""],
    ["ISHA_FLEET", ""],
    ["AGENT_HOST", ""],
    ["AGENT_PORT", "eight-thousand"],
    ["AGENT_PORT", "65536"],
    ["AGENT_PORT", "80.5"],
    ["UPSTREAM_PORTS", "secret-value"],
    ["UPSTREAM_PORTS", '{"secret-value":1}'],
    ["UPSTREAM_PORTS", '{"9101":"secret-value"}'],
    ["UPSTREAM_PORTS", '{"9101":0}'],
    ["UPSTREAM_PORTS", "[4100100]"],
    ["SIMULATED_PORTS", "secret-value"],
    ["SIMULATED_PORTS", "9101;9102"],
    ["LOG_LEVEL", "secret-value"],
    ["NVIDIA_SMI", "[secret-value"],
    ["NVIDIA_SMI", "[]"],
    ["ISHA_STATE", ""],
    ["PM2_HOME", ""],
    ["EDGE_URL", "secret-value"],
    ["EDGE_URL", "wss://secret-value.example.org"],
  ])("%s=%s", (name, value) => {
    const faults = faultsOf({ ...LEAST, [name]: value });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(`- ${name}: `);
    if (value.length > 4) expect(faults[0]).not.toContain(value);
    expect(faults[0]).not.toMatch(/secret-value|too-short-value/);
  });

  it.each(["BOX_SECRET", "LLAMA_API_KEY"])("%s is missing", (name) => {
    const faults = faultsOf({ ...LEAST, [name]: undefined });
    expect(faults).toEqual([expect.stringContaining(`- ${name}: `)]);
  });

  it("an empty AGENT_PORT is an error, not a request for a free port", () => {
    expect(faultsOf({ ...LEAST, AGENT_PORT: "" })).toEqual([expect.stringContaining("- AGENT_PORT: ")]);
  });

  it.each(["off", ""])("EDGE_URL=%s is valid: the agent runs without an edge", (EDGE_URL) => {
    expect(readSettings({ ...LEAST, EDGE_URL }).edgeUrl).toBe("");
  });

  it("all invalid variables at once", () => {
    const faults = faultsOf({ AGENT_PORT: "x", LOG_LEVEL: "loud" });
    expect(faults.map((fault) => fault.slice(4).split(":")[0])).toEqual([
      "AGENT_PORT",
      "BOX_SECRET",
      "LLAMA_API_KEY",
      "LOG_LEVEL",
    ]);
  });

  it("the error for a secret that is too short includes the command that makes one", () => {
    expect(faultsOf({ ...LEAST, BOX_SECRET: "short" })[0]).toContain("openssl rand -hex 32");
  });
});
