// Bounds how many calls a box sends again: a failing box must not double its own load. Pure; the clock is passed in.
import { RETRY_BUDGET_A_MINUTE, RETRY_BUDGET_SHARE } from "../../shared/limits.ts";

/** Counts calls and retries in whole seconds over the last minute. */
export class RetryBudget {
  /** One entry a second, the oldest first; at most 60. */
  #seconds: { readonly at: number; calls: number; retries: number }[] = [];

  /** Counts a call that begins. */
  called(now: number): void {
    this.#second(now).calls += 1;
  }

  /** Whether a retry is left. */
  left(now: number): boolean {
    this.#second(now);
    const calls = this.#seconds.reduce((sum, { calls }) => sum + calls, 0);
    const retries = this.#seconds.reduce((sum, { retries }) => sum + retries, 0);
    return retries < Math.max(RETRY_BUDGET_A_MINUTE, calls * RETRY_BUDGET_SHARE);
  }

  /** Counts a retry. */
  spend(now: number): void {
    this.#second(now).retries += 1;
  }

  #second(now: number): { readonly at: number; calls: number; retries: number } {
    const at = Math.floor(now / 1000);
    while ((this.#seconds[0]?.at ?? at) <= at - 60) this.#seconds.shift();
    const last = this.#seconds.at(-1);
    if (last?.at === at) return last;
    const fresh = { at, calls: 0, retries: 0 };
    this.#seconds.push(fresh);
    return fresh;
  }
}
