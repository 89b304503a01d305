import { describe, expect, it } from "vitest";
import { gpuMemoryGib } from "../../shared/gpu-memory.ts";

const QUARTER_GIB_OF_CACHE = { slots: 2, contextPerSlot: 2048, kvKibPerToken: 64 } as const;

describe("the memory of one server", () => {
  it("is weights, an f16 cache, buffers of 0.3 GiB at -ub 512 and 0.35 GiB of CUDA's context", () => {
    const need = gpuMemoryGib({ ...QUARTER_GIB_OF_CACHE, weightsGib: 5, kvType: "f16", ubatch: 512 });
    expect(need).toMatchObject({ weights: 5, kv: 0.25, buffers: 0.3, context: 0.35 });
    expect(need.total).toBeCloseTo(5.9, 12);
  });

  it("has a q8_0 cache of 34 bytes instead of f16's 64", () => {
    const need = gpuMemoryGib({ ...QUARTER_GIB_OF_CACHE, weightsGib: 5, kvType: "q8_0", ubatch: 512 });
    expect(need.kv).toBe(0.1328125);
  });

  it("has a quarter of the buffers at -ub 128", () => {
    const need = gpuMemoryGib({ ...QUARTER_GIB_OF_CACHE, weightsGib: 5, kvType: "f16", ubatch: 128 });
    expect(need.buffers).toBeCloseTo(0.075, 12);
  });

  it.each([
    ["slots", { slots: 4 }],
    ["context", { contextPerSlot: 4096 }],
    ["bytes per token", { kvKibPerToken: 128 }],
  ])("has twice the cache with twice the %s", (_what, change) => {
    const need = gpuMemoryGib({
      ...QUARTER_GIB_OF_CACHE,
      weightsGib: 5,
      kvType: "f16",
      ubatch: 512,
      ...change,
    });
    expect(need.kv).toBe(0.5);
  });

  it("of an 8B model with two slots of 2,048 tokens, q8_0 and -ub 128 is 6.79 GiB", () => {
    // 6.1 + 4096 × 128 KiB × 34/64 (0.265625 GiB) + 0.075 + 0.35
    const need = gpuMemoryGib({
      weightsGib: 6.1,
      slots: 2,
      contextPerSlot: 2048,
      kvType: "q8_0",
      kvKibPerToken: 128,
      ubatch: 128,
    });
    expect(need.total).toBeCloseTo(6.790625, 9);
  });
});
