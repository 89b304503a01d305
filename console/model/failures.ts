// Recent failures as an operator reads them: ours one by one, the callers' grouped by code and key.
import type { Failure } from "../../shared/failures.ts";
import type { FailureGroup, FleetView } from "../../shared/fleet-view.ts";
import { agentTypes } from "./targets.ts";
import { isOurs } from "./traffic.ts";

/** The filter's value for requests without a known key. */
export const NO_KEY = "none";

/** The filter's value for failures without a known agent type; no agent type's name begins with a dash. */
export const NO_AGENT = "-";

export interface FailureFilter {
  /** Empty for all. */
  readonly side: "" | "ours" | "callers";
  readonly code: string;
  /** A key's id, or `NO_KEY`; empty for all. */
  readonly key: string;
  /** An agent type, or `NO_AGENT`; empty for all. */
  readonly agent: string;
}

export interface ShownFailures {
  readonly ours: readonly Failure[];
  /** Null if an agent type is chosen: the edge counts by code and key only. */
  readonly groups: readonly FailureGroup[] | null;
  /** The callers' failures one by one, if a code, a key or an agent type is chosen. */
  readonly callers: readonly Failure[];
}

export function shownFailures(view: FleetView, filter: FailureFilter): ShownFailures {
  const matches = ({ code, key }: { readonly code: string; readonly key: string | null }): boolean =>
    (filter.code === "" || filter.code === code) && (filter.key === "" || filter.key === (key ?? NO_KEY));
  const isOfAgent = ({ agentType }: Failure): boolean =>
    filter.agent === "" || filter.agent === (agentType ?? NO_AGENT);
  const failures = view.failures.filter((failure) => matches(failure) && isOfAgent(failure));
  const callers = failures.filter(({ code }) => !isOurs(code));
  const groups = (view.failureGroups ?? groupsOf(view.failures)).filter(
    (group) => !isOurs(group.code) && matches(group),
  );
  return {
    ours: filter.side === "callers" ? [] : failures.filter(({ code }) => isOurs(code)),
    groups: filter.agent !== "" ? null : filter.side === "ours" ? [] : groups,
    callers: filter.side === "ours" || !isNarrowed(filter) ? [] : callers,
  };
}

/** Whether a code, a key or an agent type is chosen. */
export const isNarrowed = ({ code, key, agent }: FailureFilter): boolean =>
  code !== "" || key !== "" || agent !== "";

/** The choices of the agent filter, by value: the fleet's agent types, those of the failures, and the linked one. */
export function agentChoices(view: FleetView, chosen: string): Record<string, string> {
  const listed = view.failures.flatMap(({ agentType }) => agentType ?? []);
  const names = [...new Set([...agentTypes(view), ...listed, chosen])];
  return {
    "": "All agent types",
    ...Object.fromEntries(
      names.filter((name) => name !== "" && name !== NO_AGENT).map((name) => [name, name]),
    ),
    [NO_AGENT]: "Unknown",
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
