// Decides which failures are stored one by one and which are only counted, so that one client's flood doesn't evict
// the failures of all other clients. Pure; its state may be lost at any time.
import type { Failure, FailureFlood } from "../../shared/failures.ts";

interface SamplingLimits {
  /** Failures of one kind (code, route and key) that are passed on one by one in a sampling period. */
  readonly perKind: number;
  /** Failures that are passed on one by one in one batch. */
  readonly perBatch: number;
  /** Kinds that are distinguished. Beyond them a failure is only counted, under its code alone if need be. */
  readonly kinds: number;
}

interface FailureBatch {
  readonly failures: readonly Failure[];
  readonly floods: readonly FailureFlood[];
}

/** The route of a flood that covers all further routes and keys of a code. */
export const ANY_ROUTE = "*";

export class FailureSampler {
  readonly #limits: SamplingLimits;
  /** Failures passed on one by one in this period, by kind. */
  readonly #sampled = new Map<string, number>();
  #failures: Failure[] = [];
  readonly #floods = new Map<string, FailureFlood>();

  constructor(limits: SamplingLimits) {
    this.#limits = limits;
  }

  /** @returns whether the failure will be passed on, and isn't only counted */
  add(failure: Failure): boolean {
    const { perKind, perBatch, kinds } = this.#limits;
    const kind = kindOf(failure);
    const sampled = this.#sampled.get(kind) ?? (this.#sampled.size < kinds ? 0 : perKind);
    if (sampled >= perKind || this.#failures.length >= perBatch) {
      this.#count(failure);
      return false;
    }
    this.#sampled.set(kind, sampled + 1);
    this.#failures.push(failure);
    return true;
  }

  /** Returns what was added since the last call. */
  take(): FailureBatch {
    const batch = { failures: this.#failures, floods: [...this.#floods.values()] };
    this.#failures = [];
    this.#floods.clear();
    return batch;
  }

  /** Starts a new sampling period: every kind may be stored one by one again. */
  startPeriod(): void {
    this.#sampled.clear();
  }

  #count({ at, code, route, key }: Failure): void {
    const isKnown = this.#floods.has(kindOf({ code, route, key }));
    const kind =
      isKnown || this.#floods.size < this.#limits.kinds
        ? { code, route, key }
        : { code, route: ANY_ROUTE, key: null };
    const count = (this.#floods.get(kindOf(kind))?.count ?? 0) + 1;
    this.#floods.set(kindOf(kind), { ...kind, at, count });
  }
}

/** No code, route or key contains a line break. */
function kindOf({ code, route, key }: Pick<Failure, "code" | "route" | "key">): string {
  return `${code}\n${route}\n${key ?? ""}`;
}
