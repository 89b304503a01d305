// Types for requesting, leasing and releasing slots. slots.ts decides which call gets which slot.

export interface SlotRequest {
  readonly scope: string | null;
  /** Number of answers requested; each takes a slot. */
  readonly choices: number;
  /** Whether the call's dialect keeps `id_slot`. */
  readonly pinned: boolean;
}

/** A call's right to slots of a server. It ends with `finish`, `refused` or `abandon`, and is void after `forget`. */
export interface SlotLease {
  /**
   * The slots of the lease; for a call that isn't pinned, the slots reserved for it until its own are known. Empty
   * once `/slots` has shown another call after it, before its end was reported.
   */
  readonly slots: readonly number[];
  /** Sent as `id_slot`; null if the dialect drops it. */
  readonly slot: number | null;
  /** Sent as `cache_prompt`. */
  readonly cachePrompt: boolean;
}

/** Tokens that a call has used on the GPU, as far as `/slots` has shown them. */
export interface SlotUsage {
  readonly promptTokens: number | null;
  /** Of the answer; of all answers for several choices. */
  readonly decoded: number;
}

/** An abandoned call that has provably ended on the GPU. */
export interface ProvedEnd {
  readonly lease: SlotLease;
  /** Null if the call was never seen on a slot. */
  readonly usage: SlotUsage | null;
  /** Time from the abandonment to the proof, in milliseconds. */
  readonly tookMs: number;
}

export interface Observed {
  /** Slots that became free by this reading. */
  readonly freed: readonly number[];
  readonly proved: readonly ProvedEnd[];
}

export interface StuckSlot {
  readonly slot: number;
  /** Time since the call on it was abandoned, in milliseconds. */
  readonly forMs: number;
}

export interface SlotCounts {
  /** 0 while the server's slots are unknown. */
  readonly total: number;
  readonly free: number;
  readonly leased: number;
  readonly awaiting: number;
  readonly foreign: number;
  readonly locked: boolean;
}

/** The internal state of a lease, beyond what its owner sees. */
export interface Tenancy {
  readonly lease: SlotLease & { slots: readonly number[] };
  readonly request: SlotRequest;
  /** The value of `#trust` when the lease was granted; null if nothing may be remembered from then. */
  readonly trust: number | null;
  /** Whether its slots are certainly its own; otherwise a foreign call may be running on them when it ends. */
  exact: boolean;
  abandonedAt: number | null;
  /** Outstanding proofs: one for each slot, and one for a slot that isn't known yet. */
  unproved: number;
  /** What it used on the slots whose proofs are in. */
  usage: SlotUsage | null;
}

/** Adds up two slots of one call: the prompt is the same in each. */
export function addUsage(one: SlotUsage | null, other: SlotUsage | null): SlotUsage | null {
  if (one === null || other === null) return one ?? other;
  return {
    promptTokens: one.promptTokens ?? other.promptTokens,
    decoded: one.decoded + other.decoded,
  };
}
