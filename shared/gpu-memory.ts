// Estimates the GPU memory of one llama-server from its settings; it measures nothing.

export interface ServerMemory {
  readonly weightsGib: number;
  readonly slots: number;
  readonly contextPerSlot: number;
  readonly kvType: "f16" | "q8_0";
  readonly kvKibPerToken: number;
  readonly ubatch: number;
}

/** All in GiB. */
export interface MemoryNeed {
  readonly weights: number;
  readonly kv: number;
  readonly buffers: number;
  readonly context: number;
  readonly total: number;
}

/** The share of a card's memory that servers may use: the driver, fragmentation and a desktop take the rest. */
export const VRAM_SHARE = 0.97;

/** CUDA's context for each process, as measured on an RTX 3090. */
const CUDA_CONTEXT_GIB = 0.35;

/** Compute buffers at `-ub 512`; they grow with the micro-batch. */
const BUFFERS_GIB_AT_512 = 0.3;

/** q8_0 stores 32 values in 34 bytes, f16 in 64 (ggml's block layout). */
const Q8_0_SHARE = 34 / 64;

const KIB_PER_GIB = 1024 * 1024;

/** The memory of a loaded server with every slot full. */
export function gpuMemoryGib(server: ServerMemory): MemoryNeed {
  const share = server.kvType === "q8_0" ? Q8_0_SHARE : 1;
  const kv = (server.slots * server.contextPerSlot * server.kvKibPerToken * share) / KIB_PER_GIB;
  const buffers = (BUFFERS_GIB_AT_512 * server.ubatch) / 512;
  return {
    weights: server.weightsGib,
    kv,
    buffers,
    context: CUDA_CONTEXT_GIB,
    total: server.weightsGib + kv + buffers + CUDA_CONTEXT_GIB,
  };
}
