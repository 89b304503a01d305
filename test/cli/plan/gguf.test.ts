// The reader takes every file that llama.cpp's converter writes, and reports what is wrong with any other.
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GgufError, readGguf } from "../../../cli/plan/gguf.ts";
import { modelFacts } from "../../../cli/plan/model-facts.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { cutFile, writeGguf } from "./support/gguf-file.ts";
import { ggufHeader, list, llama8b, text, u32, type Gguf, type Value } from "./support/gguf-writer.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "isha-gguf-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function written(file: Gguf): Promise<string> {
  const path = join(folder, "model.gguf");
  await writeGguf(path, file);
  return path;
}

const refusalOf = async (path: string): Promise<string> => {
  const error: unknown = await readGguf(path).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof GgufError)) throw new Error(`no GgufError but ${String(error)}`);
  return error.message;
};

describe("a header", () => {
  it("yields the model's weights, layers and cache per token", async () => {
    const facts = modelFacts(await readGguf(await written(llama8b(6.1))));
    expect(facts).toMatchObject({
      architecture: "llama",
      layers: 32,
      kvKibPerToken: 128,
      trainedContext: 131_072,
      hasChatTemplate: true,
    });
    expect(facts.weightsGib).toBeCloseTo(6.1, 3);
    expect(facts.parameters / 1e9).toBeCloseTo((6.1 * 1024 ** 3 * 8) / 6.5625 / 1e9, 2);
  });

  it("of version 2 is read too, with values of every type", async () => {
    const values: Record<string, Value> = {
      a: { type: "u8", value: 255 },
      b: { type: "i8", value: -1 },
      c: { type: "u16", value: 65_535 },
      d: { type: "i16", value: -2 },
      e: { type: "i32", value: -3 },
      f: { type: "f32", value: 0.5 },
      g: { type: "bool", value: true },
      h: { type: "u64", value: 2n ** 40n },
      i: { type: "i64", value: -5n },
      j: { type: "f64", value: 0.25 },
      k: list(u32(1), u32(2)),
      l: list(text("x"), text("y")),
      m: text("ü".repeat(40_000)),
    };
    const { metadata, version } = await readGguf(
      await written({ ...llama8b(0.1), version: 2, metadata: { ...llama8b(0.1).metadata, ...values } }),
    );
    expect(version).toBe(2);
    expect(Object.fromEntries(metadata)).toMatchObject({
      a: 255,
      b: -1,
      c: 65_535,
      d: -2,
      e: -3,
      f: 0.5,
      g: true,
      h: 2n ** 40n,
      i: -5n,
      j: 0.25,
      k: { length: 2, numbers: [1, 2] },
      l: { length: 2, numbers: null },
      m: "(long text)",
    });
  });

  it("with a number of KV heads for each layer counts each", async () => {
    const heads = list(...Array.from({ length: 32 }, (_, layer) => u32(layer < 16 ? 8 : 0)));
    const file = llama8b(0.1, { "llama.attention.head_count_kv": heads });
    expect(modelFacts(await readGguf(await written(file))).kvKibPerToken).toBe(64);
  });

  it("with its own key and value lengths uses those; without KV heads every head has one", async () => {
    const file = llama8b(0.1, {
      "llama.attention.key_length": u32(64),
      "llama.attention.value_length": u32(32),
    });
    expect(modelFacts(await readGguf(await written(file))).kvKibPerToken).toBe(48);
    const { "llama.attention.head_count_kv": _, ...metadata } = llama8b(0.1).metadata;
    expect(modelFacts(await readGguf(await written({ ...llama8b(0.1), metadata }))).kvKibPerToken).toBe(512);
  });

  it.each([
    "general.architecture",
    "llama.block_count",
    "llama.attention.head_count",
    "llama.embedding_length",
  ])("without %s is reported by that name", async (name) => {
    const metadata = Object.fromEntries(
      Object.entries(llama8b(0.1).metadata).filter(([key]) => key !== name),
    );
    const file = await readGguf(await written({ ...llama8b(0.1), metadata }));
    expect(() => modelFacts(file)).toThrow(name);
  });
});

describe("a file that is none, or damaged", () => {
  it("that isn't there is reported as missing", async () => {
    const error: unknown = await readGguf(join(folder, "none")).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ isMissing: true });
  });

  it("that is a folder, a page or another format is reported with its first bytes", async () => {
    expect(await refusalOf(folder)).toContain("it is no file");
    const path = join(folder, "page");
    await writeFile(path, "<!doctype html>\n");
    expect(await refusalOf(path)).toBe(
      'it is no GGUF file: it begins with "<!do". Download it again and compare its checksum.',
    );
  });

  it("big-endian, or of a version that llama.cpp reads no more", async () => {
    expect(await refusalOf(await written({ ...llama8b(0.1), magic: "FUGG" }))).toContain("big-endian");
    expect(await refusalOf(await written({ ...llama8b(0.1), version: 1 }))).toContain("version 1");
  });

  it("cut anywhere in its header is reported as cut off", async () => {
    const header = ggufHeader(llama8b(0.1)).length;
    for (let bytes = 0; bytes < header; bytes += 1) {
      const path = await written(llama8b(0.1));
      await cutFile(path, bytes);
      expect(await refusalOf(path), `after ${bytes} bytes`).toContain("cut off");
    }
  });

  it("cut in its weights is reported with what is missing", async () => {
    const path = await written(llama8b(6.1));
    await cutFile(path, (await stat(path)).size - 2 * 1024 ** 3);
    expect(await refusalOf(path)).toContain("2.00 GiB of its weights are missing");
  });

  it.each([
    ["tensors", 8],
    ["metadata entries", 16],
    ["bytes in a text", 24],
  ])("that claims an absurd number of %s is refused without reading on", async (what, at) => {
    const bytes = ggufHeader(llama8b(0.1));
    bytes.writeBigUInt64LE(2n ** 60n, at);
    const path = join(folder, "absurd");
    await writeFile(path, bytes);
    expect(await refusalOf(path)).toContain(`it claims ${2n ** 60n} ${what}`);
  });

  it.each([1, 2, 3])(
    "with any bytes changed is read or refused, and nothing else happens (seed %d)",
    async (seed) => {
      const random = new SeededRandom(seed);
      const path = join(folder, "mutated");
      for (let round = 0; round < 300; round += 1) {
        const bytes = Buffer.from(ggufHeader(llama8b(0.001)));
        for (let change = 0; change <= random.below(3); change += 1) {
          bytes[random.below(bytes.length)] = random.below(256);
        }
        await writeFile(path, bytes.subarray(0, random.below(bytes.length + 1)));
        const outcome: unknown = await readGguf(path).catch((reason: unknown) => reason);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(GgufError);
      }
    },
  );
});
