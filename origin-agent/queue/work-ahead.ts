// Bounds the waiting work that runs before a new call, for the estimate of its wait. Pure.
import { PRIORITIES } from "../../shared/fleet.ts";
import { PASSED_OVER_MAX, type PortCall } from "./port-queue.ts";

/**
 * Upper bound of the work, in calls × slots, that runs before a new call if no other call arrives. The rule of
 * port-queue.ts bounds each term: all work of its own scope; from each other scope of its key, at most as much as its
 * own scope has including the call; from each other key, at most as much as its own key has; all work of higher
 * priorities; from lower ones, the turns that PASSED_OVER_MAX gives them.
 */
export function workAhead(call: PortCall, waiting: Iterable<PortCall>): number {
  const rank = PRIORITIES.indexOf(call.priority);
  const ofPriority = PRIORITIES.map(() => 0);
  const ofKey = new Map<string, number>();
  const ofScope = new Map<string | null, number>();
  for (const { keyId, scope, priority, choices } of waiting) {
    const itsRank = PRIORITIES.indexOf(priority);
    ofPriority[itsRank] = (ofPriority[itsRank] ?? 0) + choices;
    if (itsRank !== rank) continue;
    if (keyId === call.keyId) ofScope.set(scope, (ofScope.get(scope) ?? 0) + choices);
    else ofKey.set(keyId, (ofKey.get(keyId) ?? 0) + choices);
  }
  const ownScope = ofScope.get(call.scope) ?? 0;
  ofScope.delete(call.scope);
  const own = ownScope + upTo(ownScope + call.choices, ofScope.values());
  const ofItsPriority = own + upTo(own + call.choices, ofKey.values());
  const higher = Math.min(
    ofPriority.slice(0, rank).reduce((sum, work) => sum + work, 0),
    PASSED_OVER_MAX[call.priority] * (ofItsPriority + call.choices),
  );
  let lower = 0;
  for (const priority of PRIORITIES.slice(rank + 1)) {
    const turns = Math.floor((ofItsPriority + higher) / PASSED_OVER_MAX[priority]);
    lower += Math.min(ofPriority[PRIORITIES.indexOf(priority)] ?? 0, turns);
  }
  return ofItsPriority + higher + lower;
}

function upTo(most: number, work: Iterable<number>): number {
  let sum = 0;
  for (const each of work) sum += Math.min(each, most);
  return sum;
}
