// Which failures are kept one by one: of each kind so many a minute, so that one client's flood doesn't push
// everybody else's failures out of the store. The others are counted. Pure; its state may be lost at any time.
import type { Failure, FailureFlood } from "../../shared/failures.ts";

/** Kept a minute of one code, route and key: enough to see a pattern, and half an hour until they fill the store. */
export const SINGLES_A_MINUTE = 300;

/** Kinds told apart within a minute; beyond them failures are counted. */
const MAX_KINDS = 2_000;

const MINUTE_MS = 60_000;

export interface FailurePace {
  readonly minute: number;
  /** Kept in this minute, by kind. */
  readonly kept: ReadonlyMap<string, number>;
}

export const NO_FAILURES: FailurePace = { minute: 0, kept: new Map() };

export function sortFailures(
  pace: FailurePace,
  failures: readonly Failure[],
  now: number,
): {
  readonly pace: FailurePace;
  readonly singles: readonly Failure[];
  readonly floods: readonly FailureFlood[];
} {
  const minute = Math.floor(now / MINUTE_MS);
  const kept = new Map(minute === pace.minute ? pace.kept : []);
  const singles: Failure[] = [];
  const floods: FailureFlood[] = [];
  for (const failure of failures) {
    const kind = kindOf(failure);
    const soFar = kept.get(kind) ?? (kept.size < MAX_KINDS ? 0 : SINGLES_A_MINUTE);
    if (soFar < SINGLES_A_MINUTE) {
      kept.set(kind, soFar + 1);
      singles.push(failure);
    } else {
      floods.push({ at: failure.at, code: failure.code, route: failure.route, key: failure.key, count: 1 });
    }
  }
  return { pace: { minute, kept }, singles, floods };
}

/** No code, route or key holds a line break. */
function kindOf({ code, route, key }: Pick<Failure, "code" | "route" | "key">): string {
  return `${code}\n${route}\n${key ?? ""}`;
}
