// Counts the waiting work of one port by priority, key and scope. The counts bound the queue, limit each key to its
// share and give a new call's estimated wait. The order of calls is the fair queue's job.
import { PRIORITIES, type Priority } from "../../shared/fleet.ts";

/**
 * How many turns a port gives to higher priorities before a waiting call goes first. With two slots and 5 s per call,
 * 16 turns take 40 s, so even a low-priority call starts within its queue deadline of 60 s, and higher priorities
 * keep at least 15 of 17 turns.
 */
export const PASSED_OVER_MAX: Readonly<Record<Priority, number>> = { high: Infinity, normal: 8, low: 16 };

export interface BacklogCall {
  readonly keyId: string;
  readonly scope: string | null;
  readonly priority: Priority;
  readonly choices: number;
}

interface KeyWork {
  work: number;
  readonly scopes: Map<string | null, number>;
}

/** Work is the number of calls × the slots they use. */
class PriorityWork {
  total = 0;
  readonly keys = new Map<string, KeyWork>();
}

export class Backlog {
  #calls = 0;
  readonly #levels: Readonly<Record<Priority, PriorityWork>> = {
    high: new PriorityWork(),
    normal: new PriorityWork(),
    low: new PriorityWork(),
  };
  readonly #callsByKey = new Map<string, number>();

  get calls(): number {
    return this.#calls;
  }

  get keys(): number {
    return this.#callsByKey.size;
  }

  callsOf(keyId: string): number {
    return this.#callsByKey.get(keyId) ?? 0;
  }

  add(call: BacklogCall): void {
    this.#calls += 1;
    this.#callsByKey.set(call.keyId, this.callsOf(call.keyId) + 1);
    const level = this.#levels[call.priority];
    const key = level.keys.get(call.keyId) ?? { work: 0, scopes: new Map<string | null, number>() };
    level.keys.set(call.keyId, key);
    level.total += call.choices;
    key.work += call.choices;
    key.scopes.set(call.scope, (key.scopes.get(call.scope) ?? 0) + call.choices);
  }

  remove(call: BacklogCall): void {
    this.#calls -= 1;
    const left = this.callsOf(call.keyId) - 1;
    if (left > 0) this.#callsByKey.set(call.keyId, left);
    else this.#callsByKey.delete(call.keyId);
    const level = this.#levels[call.priority];
    const key = level.keys.get(call.keyId);
    if (key === undefined) return;
    level.total -= call.choices;
    key.work -= call.choices;
    const inScope = (key.scopes.get(call.scope) ?? 0) - call.choices;
    if (inScope > 0) key.scopes.set(call.scope, inScope);
    else key.scopes.delete(call.scope);
    if (key.work <= 0) level.keys.delete(call.keyId);
  }

  /**
   * Upper bound of the waiting work that runs before a new call, in O(1). Fair turns bound each term: all work of its
   * own scope; from each other scope of its key, at most as much as its own scope has including the call; from each
   * other key, at most as much as its own key has; all work of higher priorities; from lower ones, the turns that
   * PASSED_OVER_MAX gives them.
   */
  ahead(call: BacklogCall): number {
    const level = this.#levels[call.priority];
    const key = level.keys.get(call.keyId);
    const scopeWork = key?.scopes.get(call.scope) ?? 0;
    const keyWork = key?.work ?? 0;
    const otherScopes = (key?.scopes.size ?? 0) - (scopeWork > 0 ? 1 : 0);
    const own = scopeWork + Math.min(keyWork - scopeWork, otherScopes * (scopeWork + call.choices));
    const otherKeys = level.keys.size - (key === undefined ? 0 : 1);
    const others = Math.min(level.total - keyWork, otherKeys * (own + call.choices));

    const ofItsPriority = own + others;
    const rank = PRIORITIES.indexOf(call.priority);
    const higher = Math.min(
      this.#totalOf(PRIORITIES.slice(0, rank)),
      PASSED_OVER_MAX[call.priority] * (ofItsPriority + call.choices),
    );
    let lower = 0;
    for (const priority of PRIORITIES.slice(rank + 1)) {
      const turns = Math.floor((ofItsPriority + higher) / PASSED_OVER_MAX[priority]);
      lower += Math.min(this.#levels[priority].total, turns);
    }
    return ofItsPriority + higher + lower;
  }

  #totalOf(priorities: readonly Priority[]): number {
    return priorities.reduce((sum, priority) => sum + this.#levels[priority].total, 0);
  }
}
