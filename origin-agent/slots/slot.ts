// Tracks one slot of a llama-server and what a reading of `/slots` proves about it. slots.ts decides which call gets the
// slot and how foreign calls are handled.
//
// | use      | its call                             | a busy reading                        | an idle reading                    |
// | -------- | ------------------------------------ | ------------------------------------- | ---------------------------------- |
// | free     | begins: leased                       | `appeared`: foreign                   | free; `passed` if the task changed |
// | leased   | ends: free; aborted, broke: awaiting | leased, `landed`                      | leased; `landed` if it changed     |
// | awaiting | has been abandoned                   | awaiting                              | `proved`: free, once its task has  |
// |          |                                      |                                       | ended or after 100 ms of idleness  |
// | foreign  | is not ours                          | foreign                               | `freed`: free                      |
//
// The use is `replaced` if a busy reading, or any reading of a leased slot, shows another task after the one that was
// seen: the call here has ended. The slot is then foreign; a leased one only from the report of its call's end. While a
// call that is sent alone is being located (unpinned-call.ts), whatever appears may be that call, and isn't foreign.
import type { SlotReading } from "../probes/llama.ts";
import type { SlotUsage, Tenancy } from "./slot-lease.ts";

/**
 * After an abort, a slot that has been idle this long gets no late task (design 4). Slots were observed to turn busy up to 17 ms
 * after the socket had closed; this is six times that, for a loaded machine.
 */
export const IDLE_PROOF_MS = 100;

/** `foreign`: busy with a call that isn't ours, from a draining agent or a person with curl. */
export type SlotUse =
  | { readonly kind: "free" }
  | { readonly kind: "leased"; readonly tenancy: Tenancy; landed: boolean }
  | {
      readonly kind: "awaiting";
      /** The lease whose end is awaited; null if the proof is reported to no one. */
      readonly tenancy: Tenancy | null;
      readonly since: number;
      /** Whether the end of a task is a proof; otherwise only idleness is. */
      readonly byTask: boolean;
      /** Whether the slot was seen busy with it. */
      seen: boolean;
      idleSince: number | null;
    }
  | { readonly kind: "foreign" };

/**
 * The result of a reading. `landed`: the leased call has been seen here. `proved`: the abandoned call has ended and the
 * slot is idle. `freed`: the foreign call has ended. `appeared`: a free slot is busy. `passed`: it was busy since the
 * last reading. `replaced`: the call here has ended and another one runs or ran here; for a lease, before its end was
 * reported.
 */
export type Finding = "nothing" | "landed" | "proved" | "freed" | "appeared" | "passed" | "replaced";

export class Slot {
  readonly id: number;
  /** The scope whose text the slot's cache certainly holds; null allows no reuse. */
  scope: string | null = null;
  /** When it last became free; -Infinity before its first task. */
  freeSince: number;
  #use: SlotUse = { kind: "free" };
  /** When the use began: earlier readings don't apply to it. */
  #usedSince = -Infinity;
  /** The last task seen here since the last call that ended here; undefined if none was. */
  #task: number | null | undefined = undefined;
  /** What the call that was last seen here has used; null if none was seen since the slot was leased. */
  #usage: SlotUsage | null = null;

  constructor(id: number, freeSince: number) {
    this.id = id;
    this.freeSince = freeSince;
  }

  get use(): SlotUse {
    return this.#use;
  }

  get usage(): SlotUsage | null {
    return this.#usage;
  }

  /** Whether it serves this lease or awaits the proof of its end. */
  isOf(tenancy: Tenancy): boolean {
    return (this.#use.kind === "leased" || this.#use.kind === "awaiting") && this.#use.tenancy === tenancy;
  }

  lease(tenancy: Tenancy, landed: boolean, now: number): void {
    this.#usage = null;
    this.#begin({ kind: "leased", tenancy, landed }, now);
  }

  /** Frees the slot after a call ended here. @param oneTask the call was one task, so if it was seen here, its task is the last. */
  free(scope: string | null, oneTask: boolean, now: number): void {
    const seen = this.#use.kind === "leased" && this.#use.landed;
    if (!oneTask || !seen) this.#task = undefined;
    this.scope = scope;
    this.freeSince = now;
    this.#begin({ kind: "free" }, now);
  }

  /** Forgets the cache's scope and the last task, because a call may have used the slot without being seen. */
  doubt(now: number): void {
    this.scope = null;
    this.#task = undefined;
    this.#usedSince = now;
  }

  /** Frees the slot again because the lease that reserved it went elsewhere. */
  restore(now: number): void {
    this.#begin({ kind: "free" }, now);
  }

  /**
   * Awaits the proof that an abandoned call, which may be here, has ended.
   * @param proof `byTask`: the call is one task, whose end is a proof; otherwise only idleness is. `found`: the call
   * was just seen here although the slot was never leased to it.
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

  /** @param askedAt when the reading was requested: it holds for some moment between then and `now`. */
  observe(reading: SlotReading, askedAt: number, now: number): Finding {
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
        if (use.landed) this.#count(reading);
        return use.landed ? "landed" : "nothing";
      case "foreign":
        if (reading.busy) return changed ? "replaced" : "nothing";
        this.#release(now);
        return "freed";
      case "awaiting":
        if (reading.busy) {
          if (use.byTask && use.seen && changed) return "replaced";
          use.seen = true;
          use.idleSince = null;
          this.#count(reading);
          return "nothing";
        }
        if (use.seen || changed) this.#count(reading);
        use.idleSince ??= now;
        if (!(use.byTask && (use.seen || changed)) && askedAt - use.idleSince < IDLE_PROOF_MS)
          return "nothing";
        this.#release(now);
        return "proved";
    }
  }

  /**
   * Notes the tokens of the call here. `n_prompt_tokens` includes the answer so far, and an idle slot still shows it for
   * its last task, with `n_decoded` 0 (transcripts `slots-busy`, `slots-after-abort`).
   */
  #count({ busy, tokens, decoded }: SlotReading): void {
    if (tokens === null && decoded === null) return;
    const before = this.#usage;
    const prompt = busy && tokens !== null && decoded !== null ? tokens - decoded : null;
    const promptTokens = prompt ?? before?.promptTokens ?? (busy ? null : tokens);
    const answer = busy || tokens === null || promptTokens === null ? decoded : tokens - promptTokens;
    this.#usage = { promptTokens, decoded: Math.max(answer ?? 0, before?.decoded ?? 0) };
  }

  #release(now: number): void {
    this.freeSince = now;
    this.#begin({ kind: "free" }, now);
  }

  #begin(use: SlotUse, now: number): void {
    this.#use = use;
    this.#usedSince = now;
  }
}
