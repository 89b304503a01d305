// The words in which slots are asked for, leased and given back. Who has which slot is decided in slots.ts.

export interface SlotRequest {
  readonly scope: string | null;
  /** Answers asked for at once; each takes a slot. */
  readonly choices: number;
  /** Whether the call's dialect keeps `id_slot`. */
  readonly pinned: boolean;
}

/** A call's right to slots of a server. It ends with `finish`, `refused` or `abandon`, and is void after `forget`. */
export interface SlotLease {
  /**
   * The slots it has; for a call that isn't pinned, what is put by for it until they are known. None once
   * another call has been seen to follow it, before its end is heard.
   */
  readonly slots: readonly number[];
  /** What goes out as `id_slot`; null where the dialect drops it. */
  readonly slot: number | null;
  /** What goes out as `cache_prompt`. */
  readonly cachePrompt: boolean;
}

/** An abandoned call that is proved to have ended on the GPU. */
export interface ProvedEnd {
  readonly lease: SlotLease;
  /** From the abandonment to the proof, milliseconds. */
  readonly tookMs: number;
}

export interface Observed {
  /** Slots that came free through this look. */
  readonly freed: readonly number[];
  readonly proved: readonly ProvedEnd[];
}

export interface StuckSlot {
  readonly slot: number;
  /** Since the call on it was abandoned, milliseconds. */
  readonly forMs: number;
}

export interface SlotCounts {
  /** 0 while nothing is known of the server. */
  readonly total: number;
  readonly free: number;
  readonly leased: number;
  readonly awaiting: number;
  readonly foreign: number;
  readonly locked: boolean;
}

/** What is known of a lease beyond what its holder sees. */
export interface Tenancy {
  readonly lease: SlotLease & { slots: readonly number[] };
  readonly request: SlotRequest;
  /** The books' `#trust` when it was given out; null where nothing was to be remembered then. */
  readonly trust: number | null;
  /** Whether its slots are surely its own; else a stranger may be at work on them when it ends. */
  exact: boolean;
  abandonedAt: number | null;
  /** Proofs still awaited: one for each slot, one for a slot that isn't known yet. */
  unproved: number;
}
