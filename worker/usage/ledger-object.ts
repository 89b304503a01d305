// The deployment's ledger: what every call cost, added up. A batch is booked in one transaction with the mark of its
// epoch, so that what is told twice counts once; the months of keys with a quota are pushed to those keys.
import { DurableObject } from "cloudflare:workers";
import { QUOTA_PUSH_MS } from "../../shared/limits.ts";
import type { UsageCall } from "../../shared/usage.ts";
import type { UsageQuery, UsageReport } from "../../shared/usage-report.ts";
import type { Bindings } from "../env.ts";
import { LedgerTables } from "./ledger-tables.ts";
import { QuotaWatch } from "./quota.ts";
import { bookBatch } from "./booking.ts";
import { monthTotal, usageReport } from "./query.ts";
import { DAY_MS, dayOf } from "./time-ranges.ts";
import { keyObject } from "../stubs.ts";

/** Half of what a key may be behind: the other half is for a push that has to be tried again. */
const PUSH_AFTER_MS = QUOTA_PUSH_MS / 2;

/** How long new sums lie apart before they are folded: it sets how often the same rows are written again. */
const FOLD_AFTER_MS = 10 * 60 * 1000;

/** Between two steps of forgetting: questions and batches come in between. */
const FORGET_PAUSE_MS = 1_000;

/** A key's tokens of a month (`2026-11`, UTC), prompt and completion together. */
export interface MonthTotal {
  readonly month: string;
  readonly tokens: number;
}

/** What became of a batch. */
export interface Applied {
  /** The epoch's mark: every call up to it is booked. */
  readonly upTo: number;
  /** Calls of the batch dated so far off that they are booked at the hour they arrived. */
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

  /** Books a batch: in order, once. What doesn't follow on the epoch's mark is left, and the mark says from where on. */
  async apply(box: string, epoch: string, after: number, calls: readonly UsageCall[]): Promise<Applied> {
    const now = Date.now();
    const { booking, isWatched } = this.ctx.storage.transactionSync(() => {
      const mark = this.#tables.mark(box, epoch);
      const booking = bookBatch(mark, { after, calls }, now);
      if (booking.upTo === mark) return { booking, isWatched: false };
      this.#tables.add(booking.entries, now);
      this.#tables.setMark(box, epoch, booking.upTo, booking.misdated, now);
      return { booking, isWatched: this.#watch.changed(booking.entries.map(({ key }) => key)) };
    });
    await this.#wakeBy(now + (isWatched ? PUSH_AFTER_MS : FOLD_AFTER_MS));
    return { upTo: booking.upTo, misdated: booking.misdated };
  }

  usage(query: UsageQuery): UsageReport {
    return usageReport(this.ctx.storage.sql, query, Date.now());
  }

  /** From now on the key's object is told its month's total; this one is its answer now. */
  watch(keyId: string): MonthTotal {
    this.#watch.add(keyId);
    return monthTotal(this.ctx.storage.sql, keyId, Date.now());
  }

  unwatch(keyId: string): void {
    this.#watch.remove(keyId);
  }

  override async alarm(): Promise<void> {
    const now = Date.now();
    let pause = FOLD_AFTER_MS;
    try {
      if (this.#isDue("fold", now)) {
        this.ctx.storage.transactionSync(() => this.#tables.fold());
        this.#nextAt("fold", now + FOLD_AFTER_MS);
      }
      if (this.#isDue("forget", now)) {
        const more = this.ctx.storage.transactionSync(() => this.#tables.forget(now));
        if (more) pause = FORGET_PAUSE_MS;
        else this.#nextAt("forget", dayOf(now) + DAY_MS);
      }
      if (await this.#pushMonths(now)) pause = Math.min(pause, PUSH_AFTER_MS);
    } finally {
      // Nothing fresh and nobody to tell: what is left is to forget, once a day.
      const isIdle = pause === FOLD_AFTER_MS && this.#tables.freshRows() === 0;
      await this.#wakeBy(isIdle ? dayOf(now) + DAY_MS : now + pause);
    }
  }

  /** @returns whether some key is still to be told: there were many, one didn't answer, or calls came meanwhile. */
  async #pushMonths(now: number): Promise<boolean> {
    const { sql } = this.ctx.storage;
    return this.#watch.push(async (keyId) => {
      const { month, tokens } = monthTotal(sql, keyId, now);
      await keyObject(this.env, keyId).used(month, tokens);
    });
  }

  #isDue(what: "fold" | "forget", now: number): boolean {
    return now >= Number(this.#tables.note(`${what}-due`) ?? 0);
  }

  #nextAt(what: "fold" | "forget", at: number): void {
    this.#tables.setNote(`${what}-due`, String(at));
  }

  /** One alarm serves everything: the earliest of what is due. */
  async #wakeBy(at: number): Promise<void> {
    const set = await this.ctx.storage.getAlarm();
    if (set === null || set > at) await this.ctx.storage.setAlarm(at);
  }
}
