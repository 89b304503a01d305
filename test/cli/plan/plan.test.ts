// `isha plan` answers whether a box's servers fit its card, by their files, and what would make them fit.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import shipped from "../../../fleet.config.ts";
import type { FleetConfig, Server } from "../../../shared/fleet.ts";
import { runHere, runProgram, type Ran } from "../support/run-isha.ts";
import { writeGguf } from "./support/gguf-file.ts";
import { llama8b, u32 } from "./support/gguf-writer.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-plan-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  folder = await mkdtemp(join(tmpdir(), "isha-plan-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function fleetOf(...changes: readonly Partial<Server>[]): FleetConfig {
  const [box] = shipped.boxes;
  const [, llama] = box?.servers ?? [];
  if (box === undefined || llama === undefined) throw new Error("the shipped fleet has two servers");
  const servers = changes.map((change, at) => ({ ...llama, port: 9_001 + at, ...change }));
  return { ...shipped, boxes: [{ ...box, modelsDir: folder, servers }] };
}

const plan = (fleet: FleetConfig, ...more: readonly string[]): Promise<Ran> =>
  runHere(["plan", ...more], { fleet: () => Promise.resolve(fleet) });

describe("isha plan", () => {
  it("of the shipped fleet: 19.7 GiB of weights, 23.1 with the rest, and it fits", async () => {
    const { code, out } = await runProgram(["plan"]);
    expect(code).toBe(0);
    expect(out).toMatch(/ 19\.7 +1\.26 +0\.38 +1\.75 +23\.1/);
    expect(out).toContain("It fits: 23.1 of 23.3 GiB, 0.2 to spare.");
    expect(out).toContain("the fleet file's figures are used");
  });

  it("reads the files: what fits by the fleet file may not fit by them, and smaller settings do", async () => {
    await writeGguf(join(folder, "a.gguf"), llama8b(10.5));
    await writeGguf(join(folder, "b.gguf"), llama8b(10.5));
    const wide = { slots: 4, contextPerSlot: 8_192, kvType: "f16", ubatch: 512 } as const;
    const { code, out, err } = await plan(fleetOf({ file: "a.gguf", ...wide }, { file: "b.gguf", ...wide }));
    expect(code).toBe(1);
    expect(out).toContain("It does NOT fit: 30.3 of 23.3 GiB, 7.0 too much.");
    expect(out).toContain(
      'ubatch 128 for 9001, 9002; kvType "q8_0" for 9001, 9002; slots 2 for 9001, 9002; contextPerSlot 4096 for 9001, 9002: 22.9 GiB',
    );
    expect(out).toContain("9001: set weightsGib to 10.5; the fleet file has 6.1");
    expect(err).toContain("don't fit the card of box1");
  });

  it("names another quantisation if no settings help", async () => {
    await writeGguf(join(folder, "a.gguf"), llama8b(14));
    await writeGguf(join(folder, "b.gguf"), llama8b(10));
    const small = { slots: 1, contextPerSlot: 1_024 };
    const { code, out } = await plan(
      fleetOf({ file: "a.gguf", ...small }, { file: "b.gguf", ...small, model: "B" }),
    );
    expect(code).toBe(1);
    expect(out).toMatch(/MedPalm2-8B as Q5_K_M \(12\.2 GiB instead of 14\.0\): 23\.\d GiB/);
    expect(out).toContain("B (9002) on another box: ");
    expect(out).not.toContain("slots");
  });

  it("reports when nothing helps", async () => {
    await writeGguf(join(folder, "a.gguf"), llama8b(60));
    const { code, out } = await plan(fleetOf({ file: "a.gguf" }));
    expect(code).toBe(1);
    expect(out).toContain("Not even with the smallest settings; move models to another box.");
  });

  it("corrects the fleet file's cache per token, context and template", async () => {
    const { "tokenizer.chat_template": _, ...metadata } = llama8b(6.1).metadata;
    const file = { ...llama8b(6.1), metadata: { ...metadata, "llama.context_length": u32(1_024) } };
    await writeGguf(join(folder, "a.gguf"), file);
    const { code, out } = await plan(fleetOf({ file: "a.gguf", kvKibPerToken: 112 }));
    expect(code).toBe(0);
    expect(out).toContain("9001: set kvKibPerToken to 128; the fleet file has 112");
    expect(out).toContain("9001: set contextPerSlot to 1024 or less");
    expect(out).toContain("9001: the file has no chat template");
    expect(out).not.toContain("set weightsGib");
  });

  it("can't be certain with a damaged file, and reports which", async () => {
    await writeFile(join(folder, "a.gguf"), "<html>");
    const { code, out, err } = await plan(fleetOf({ file: "a.gguf" }));
    expect(code).toBe(2);
    expect(out).toContain("a.gguf: it is no GGUF file");
    expect(err).toContain("the plan isn't certain");
  });

  it("as JSON has the same figures", async () => {
    await writeGguf(join(folder, "a.gguf"), llama8b(6.1));
    const { code, out } = await plan(fleetOf({ file: "a.gguf" }), "--json");
    expect(code).toBe(0);
    const [box] = JSON.parse(out) as [{ fits: boolean; total_gib: number; servers: [{ from: string }] }];
    expect(box).toMatchObject({
      box: "box1",
      fits: true,
      changes: [],
      servers: [{ from: "gguf", fault: null }],
    });
    expect(box.total_gib).toBeCloseTo(6.1 + 0.266 + 0.075 + 0.35, 2);
  });

  it("refuses a box that the fleet file doesn't have", async () => {
    const { code, err } = await plan(fleetOf({}), "--box", "box9");
    expect(code).toBe(2);
    expect(err).toContain('no box "box9"');
    expect(err).toContain("Its boxes are: box1.");
  });
});
