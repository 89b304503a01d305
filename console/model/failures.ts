// Recent failures as an operator reads them: ours one by one, the callers' grouped by code and key.
import type { Failure } from "../../shared/failures.ts";
import type { FailureGroup, FleetView } from "../../shared/fleet-view.ts";
import { isOurs } from "./traffic.ts";

/** The filter's value for requests without a known key. */
export const NO_KEY = "none";

export interface FailureFilter {
  /** Empty for all. */
  readonly side: "" | "ours" | "callers";
  readonly code: string;
  /** A key's id, or `NO_KEY`; empty for all. */
  readonly key: string;
}

export interface ShownFailures {
  readonly ours: readonly Failure[];
  readonly groups: readonly FailureGroup[];
  /** The callers' failures one by one, if a code or a key is chosen. */
  readonly callers: readonly Failure[];
}

export function shownFailures(view: FleetView, filter: FailureFilter): ShownFailures {
  const matches = ({ code, key }: { readonly code: string; readonly key: string | null }): boolean =>
    (filter.code === "" || filter.code === code) && (filter.key === "" || filter.key === (key ?? NO_KEY));
  const failures = view.failures.filter(matches);
  const callers = failures.filter(({ code }) => !isOurs(code));
  const groups = (view.failureGroups ?? groupsOf(view.failures)).filter(
    (group) => !isOurs(group.code) && matches(group),
  );
  return {
    ours: filter.side === "callers" ? [] : failures.filter(({ code }) => isOurs(code)),
    groups: filter.side === "ours" ? [] : groups,
    callers: filter.side === "ours" || (filter.code === "" && filter.key === "") ? [] : callers,
  };
}

/** For an edge of an earlier release, which counts no groups. */
function groupsOf(failures: readonly Failure[]): FailureGroup[] {
  const groups = new Map<string, FailureGroup>();
  for (const { code, key, at } of failures) {
    const id = JSON.stringify([code, key]);
    const { count, lastAt } = groups.get(id) ?? { count: 0, lastAt: at };
    groups.set(id, { code, key, count: count + 1, lastAt: Math.max(at, lastAt) });
  }
  return [...groups.values()].toSorted((a, b) => b.count - a.count);
}

/** The start of an id: enough to tell two apart, and short enough for a line. */
export const shortId = (id: string): string => (id.length > 14 ? `${id.slice(0, 12)}…` : id);
