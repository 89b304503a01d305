// The deployment's ledger: sums up what every call cost. Each batch is booked in one transaction with the epoch's last
// seq, so that a batch which is sent twice counts once. Keys that reach their monthly quota are informed.
import { DurableObject } from "cloudflare:workers";
import { DAY_MS, dayStart } from "../../shared/calendar.ts";
import { QUOTA_PUSH_MS } from "../../shared/limits.ts";
import type { UsageCall } from "../../shared/usage.ts";
import type { UsageReport } from "../../shared/usage-report.ts";
import type { Bindings } from "../env.ts";
import { LedgerTables } from "./ledger-tables.ts";
import { QuotaWatch, type MonthTotal } from "./quota.ts";
import { bookBatch } from "./booking.ts";
import { usageReport, type UsageRequest } from "./query.ts";
import { keyObject } from "../stubs.ts";

/** Pause before a failed push is tried again: half of the time that a key may be behind. */
const PUSH_RETRY_MS = QUOTA_PUSH_MS / 2;

/** How long new sums stay in `recent`: the interval at which the same rows of the other tables are written again. */
const ROLL_UP_AFTER_MS = 10 * 60 * 1000;

/** Pause between two steps of pruning, for queries and batches. */
const PRUNE_PAUSE_MS = 1_000;

interface BatchResult {
  /** Every call of the epoch up to this seq is booked. */
  readonly lastSeq: number;
  /** Calls of the batch that were dated so far off that they are booked under the hour of their arrival. */
  readonly misdated: number;
}

export class Ledger extends DurableObject<Bindings> {
  readonly #tables: LedgerTables;
  readonly #watch: QuotaWatch;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#tables = new LedgerTables(state.storage.sql);
    this.#tables.create();
    this.#watch = new QuotaWatch(state.storage.sql);
  }

  /**
   * Books a batch in order and once. A batch that doesn't follow the epoch's last booked seq books nothing; the result
   * states the seq to continue from.
   * @param ackedSeq the last seq that was acknowledged to the sender
   */
  async apply(
    box: string,
    epoch: string,
    ackedSeq: number,
    calls: readonly UsageCall[],
  ): Promise<BatchResult> {
    const now = Date.now();
    const { lastSeq, misdated, entries } = this.ctx.storage.transactionSync(() => {
      const lastSeq = this.#tables.lastSeq(box, epoch);
      const booking = bookBatch(lastSeq, { ackedSeq, calls }, now);
      if (booking.lastSeq === lastSeq) return booking;
      this.#tables.add(booking.entries, now);
      this.#tables.setLastSeq(box, epoch, booking.lastSeq, booking.misdated, now);
      return booking;
    });
    const isPushDue = this.#watch.booked(entries, now);
    await this.#wakeBy(isPushDue ? now : now + ROLL_UP_AFTER_MS);
    return { lastSeq, misdated };
  }

  usage(request: UsageRequest): UsageReport {
    return usageReport(this.ctx.storage.sql, request, Date.now());
  }

  /** From now on the key's object gets the month's total once it reaches the quota; the result is the current total. */
  watch(keyId: string, quota: number): MonthTotal {
    return this.#watch.add(keyId, quota, Date.now());
  }

  unwatch(keyId: string): void {
    this.#watch.remove(keyId);
  }

  override async alarm(): Promise<void> {
    const now = Date.now();
    let pause = ROLL_UP_AFTER_MS;
    try {
      if (this.#isDue("rollup", now)) {
        this.ctx.storage.transactionSync(() => this.#tables.rollUp());
        this.#nextAt("rollup", now + ROLL_UP_AFTER_MS);
      }
      if (this.#isDue("prune", now)) {
        const more = this.ctx.storage.transactionSync(() => this.#tables.prune(now));
        if (more) pause = PRUNE_PAUSE_MS;
        else this.#nextAt("prune", dayStart(now) + DAY_MS);
      }
      const isLeft = await this.#watch.push(now, async (keyId, { month, tokens }) =>
        keyObject(this.env, keyId).used(month, tokens),
      );
      if (isLeft) pause = Math.min(pause, PUSH_RETRY_MS);
    } finally {
      // With nothing to roll up and nothing to push, only the daily pruning is left.
      const isIdle = pause === ROLL_UP_AFTER_MS && this.#tables.recentRows() === 0;
      await this.#wakeBy(isIdle ? dayStart(now) + DAY_MS : now + pause);
    }
  }

  #isDue(what: "rollup" | "prune", now: number): boolean {
    return now >= Number(this.#tables.meta(`${what}-due`) ?? 0);
  }

  #nextAt(what: "rollup" | "prune", at: number): void {
    this.#tables.setMeta(`${what}-due`, String(at));
  }

  /** One alarm serves everything: it is set to the earliest time at which something is due. */
  async #wakeBy(at: number): Promise<void> {
    const set = await this.ctx.storage.getAlarm();
    if (set === null || set > at) await this.ctx.storage.setAlarm(at);
  }
}
