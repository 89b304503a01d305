// What is known of one slot of a llama-server, and what a look at `/slots` proves about it. One slot alone:
// which call gets it, and what is to be done about strangers, is decided in slots.ts.
import type { Tenancy } from "./lease.ts";

/** A slot as `/slots` shows it: `id`, `is_processing`, `id_task` (null where it has had none). */
export interface SlotReading {
  readonly id: number;
  readonly busy: boolean;
  readonly task: number | null;
}

/**
 * After an abort a slot that has been idle so long has nothing to come, milliseconds. Slots were seen to turn
 * busy up to 17 ms after the socket had closed; six times that, for a machine that is busy with other things.
 */
export const IDLE_PROOF_MS = 100;

/** `foreign`: at work for somebody we don't know of, an agent that drains or a person with curl. */
export type SlotUse =
  | { readonly kind: "free" }
  | { readonly kind: "leased"; readonly tenancy: Tenancy; landed: boolean }
  | {
      readonly kind: "awaiting";
      /** Whose end is awaited; null where nobody need be told. */
      readonly tenancy: Tenancy | null;
      readonly since: number;
      /** Whether the end of a task is proof; else only idleness is. */
      readonly byTask: boolean;
      /** The slot was seen at work on it. */
      seen: boolean;
      idleSince: number | null;
    }
  | { readonly kind: "foreign" };

/**
 * What a look has shown. `landed`: the leased call has been seen here. `proved`: the abandoned call is over
 * and the slot idle. `freed`: the stranger is gone. `appeared`: a free slot is at work, `passed`: it was since
 * the last look. `replaced`: whoever was here is over, and somebody else is at work or
 * was; of a lease, before its end has been heard.
 */
export type Finding = "nothing" | "landed" | "proved" | "freed" | "appeared" | "passed" | "replaced";

export class Slot {
  readonly id: number;
  /** Whose words the slot's cache holds, where it is certain; null lets nobody reuse it. */
  scope: string | null = null;
  /** When it last came free; -Infinity before its first task. */
  freeSince: number;
  #use: SlotUse = { kind: "free" };
  /** When the use began: what was read earlier says nothing about it. */
  #usedSince = -Infinity;
  /** The last task seen here since the last call that ended here; undefined where none was. */
  #task: number | null | undefined = undefined;

  constructor(id: number, freeSince: number) {
    this.id = id;
    this.freeSince = freeSince;
  }

  get use(): SlotUse {
    return this.#use;
  }

  /** Whether it serves this lease or awaits proof of its end. */
  isOf(tenancy: Tenancy): boolean {
    return (this.#use.kind === "leased" || this.#use.kind === "awaiting") && this.#use.tenancy === tenancy;
  }

  lease(tenancy: Tenancy, landed: boolean, now: number): void {
    this.#begin({ kind: "leased", tenancy, landed }, now);
  }

  /** A call ended here. @param oneTask it was one task, so if it was seen here, its task is the last. */
  free(scope: string | null, oneTask: boolean, now: number): void {
    const seen = this.#use.kind === "leased" && this.#use.landed;
    if (!oneTask || !seen) this.#task = undefined;
    this.scope = scope;
    this.freeSince = now;
    this.#begin({ kind: "free" }, now);
  }

  /** Somebody may have used the slot unseen: neither its words nor its last task are known. */
  doubt(now: number): void {
    this.scope = null;
    this.#task = undefined;
    this.#usedSince = now;
  }

  /** A lease that was meant for this slot went elsewhere: as it was before. */
  restore(now: number): void {
    this.#begin({ kind: "free" }, now);
  }

  /**
   * An abandoned call may be here.
   * @param proof `byTask`: it is one task, whose end is proof; else only idleness is. `found`: it was just seen
   * here, though the slot was never leased to it.
   */
  await(
    tenancy: Tenancy | null,
    proof: { readonly byTask: boolean; readonly found: boolean },
    now: number,
  ): void {
    const { byTask, found } = proof;
    const seen = found || (this.#use.kind === "leased" && this.#use.landed);
    this.scope = null;
    this.#begin({ kind: "awaiting", tenancy, since: now, byTask, seen, idleSince: null }, now);
  }

  turnForeign(now: number): void {
    this.scope = null;
    this.#begin({ kind: "foreign" }, now);
  }

  /** @param askedAt when the reading was asked for: it is true of some moment between then and `now`. */
  look(reading: SlotReading, askedAt: number, now: number): Finding {
    if (askedAt <= this.#usedSince) return "nothing";
    const changed = this.#task !== undefined && this.#task !== reading.task;
    this.#task = reading.task;
    const use = this.#use;
    switch (use.kind) {
      case "free":
        if (reading.busy) return "appeared";
        return changed ? "passed" : "nothing";
      case "leased":
        if (use.landed && changed && use.tenancy.request.choices === 1) return "replaced";
        use.landed ||= reading.busy || changed;
        return use.landed ? "landed" : "nothing";
      case "foreign":
        if (reading.busy) return changed ? "replaced" : "nothing";
        this.#comeFree(now);
        return "freed";
      case "awaiting":
        if (reading.busy) {
          if (use.byTask && use.seen && changed) return "replaced";
          use.seen = true;
          use.idleSince = null;
          return "nothing";
        }
        use.idleSince ??= now;
        if (!(use.byTask && (use.seen || changed)) && askedAt - use.idleSince < IDLE_PROOF_MS)
          return "nothing";
        this.#comeFree(now);
        return "proved";
    }
  }

  #comeFree(now: number): void {
    this.freeSince = now;
    this.#begin({ kind: "free" }, now);
  }

  #begin(use: SlotUse, now: number): void {
    this.#use = use;
    this.#usedSince = now;
  }
}
