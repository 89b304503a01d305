import { describe, expect, it } from "vitest";
import fleet from "../../fleet.config.ts";
import { defineFleet } from "../../shared/fleet.ts";
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";
import { readSource, sourceFiles, withoutComments } from "../support/source-text.ts";

const servers = fleet.boxes.flatMap((box) => box.servers);

describe("the shipped fleet file", () => {
  it("passes its own checks", () => {
    expect(defineFleet(fleet)).toEqual(fleet);
  });

  it("is the fleet that runs today", () => {
    const rows = servers.map(({ port, pm2, model, agents }) => [port, pm2, model, agents.join(", ")]);
    expect(rows).toEqual([
      [8080, "llama-qwen-8080", "Qwen-0.6B", ""],
      [8081, "llama-medpalm2-8081", "MedPalm2-8B", "MedicalQA, Chat"],
      [8082, "llama-qwen-8082", "Qwen-0.6B", "Scribe, Triage"],
      [8084, "llama-openinsurance-8084", "OpenInsurance-8B", "Claims, Billing, Insurance"],
      [8085, "llama-bimedix2-8085", "BiMediX2-8B", "Clinical, AIDoctor"],
    ]);
    expect(fleet).toMatchObject({ domain: "ai.isha.buzz", defaultPort: 8080, modelRouter: [8081, 8080] });
    expect(fleet.limits).toEqual({ perAddressPerSecond: 100, perKeyPerSecond: 1000 });
  });

  it("has the files that the models name in their answers", () => {
    const files = Object.fromEntries(servers.map(({ model, file }) => [model, file]));
    expect(files).toEqual({
      "Qwen-0.6B": "qwen-0.6b-medicaldataset-f16.gguf",
      "MedPalm2-8B": "Llama-3.1-MedPalm2-imitate-8B-Instruct.Q6_K.gguf",
      "OpenInsurance-8B": "openinsurancellm-llama3-8b.Q5_K_M.gguf",
      "BiMediX2-8B": "BiMediX2-8B-hf.i1-Q6_K.gguf",
    });
  });

  it("needs about 23 of the card's 24 GiB, of which 19.7 are weights", () => {
    const needs = servers.map((server) => gpuMemoryGib(server));
    expect(needs.reduce((sum, need) => sum + need.weights, 0)).toBeCloseTo(19.7, 9);
    // By hand: 2 × 6.790625 + 5.990625 + 2 × 1.757421875
    expect(needs.reduce((sum, need) => sum + need.total, 0)).toBeCloseTo(23.08671875, 9);
    expect(fleet.boxes[0]?.vramGib).toBe(24);
  });
});

describe("wrangler.toml", () => {
  const text = readSource("wrangler.toml").replace(/^\s*#.*$/gm, "");

  it("routes the fleet file's domain, staging's below it, and no other", () => {
    const patterns = [...text.matchAll(/pattern\s*=\s*"([^"]*)"/g)].map(([, pattern]) => pattern);
    expect(patterns).toEqual([fleet.domain, fleet.domain, `staging.${fleet.domain}`]);
  });
});

/** Places in code that contain a value of the fleet file. Comments may contain one as an example. */
function namesFound(program: ReadonlyMap<string, string>): string[] {
  const names = [
    fleet.domain,
    ...fleet.boxes.flatMap((box) => [new URL(box.origin).hostname, box.gpu]),
    ...servers.flatMap(({ port, pm2, model, file, agents }) => [String(port), pm2, model, file, ...agents]),
  ];
  return [...program].flatMap(([path, text]) => {
    const code = withoutComments(text).replace(/(?<=\d)_(?=\d)/g, "");
    return [...new Set(names)]
      .filter((name) => new RegExp(`(?<![\\w-])${escaped(name)}(?![\\w-])`).test(code))
      .map((name) => `${path} names ${name}`);
  });
}

const escaped = (name: string): string => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

describe("for another operator, only the fleet file changes:", () => {
  it("no code names a domain, box, port, model or agent type of the shipped file", () => {
    const program = sourceFiles(["{worker,origin-agent,shared,cli,console}/**/*.{ts,tsx,html,css,js,mjs}"]);
    expect(program.size).toBeGreaterThan(30);
    expect(namesFound(program)).toEqual([]);
  });

  it("such code is found, but not comments and longer words", () => {
    const planted = [
      "// a comment may name 8085 and Clinical",
      'const base = "https://ai.isha.buzz/v1"; /* Qwen-0.6B */',
      "const port = 8_085;",
      'if (agent === "Triage") return ClaimsAdjuster[18085];',
    ];
    expect(namesFound(new Map([["worker/planted.ts", planted.join("\n")]]))).toEqual([
      "worker/planted.ts names ai.isha.buzz",
      "worker/planted.ts names Triage",
      "worker/planted.ts names 8085",
    ]);
  });
});
