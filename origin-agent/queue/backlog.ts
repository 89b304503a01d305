// How much work has its place at one port, by priority, key and scope: what bounds the queue, what holds a key
// to its share, and what a newcomer's wait is estimated from. It counts; who is next is the fair queue's word.
import { PRIORITIES, type Priority } from "../../shared/fleet.ts";

/**
 * How often a waiting call may be passed over at a port by calls of a higher priority before it goes first, in
 * turns. On two slots at 5 s a call 16 turns are 40 s, so even the lowest priority's first call starts within
 * its queue deadline of 60 s, and the higher ones keep 15 of 17 turns at the least.
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

/** Work is counted in calls × the slots they take. */
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
   * At most how much of the work that waits here now goes before a newcomer, in O(1). Fair turns bound each
   * term: its own scope's work is all before it; of each other scope of its key no more than its own scope has
   * with it; of each other key no more than its own key has; of higher priorities all, of lower ones what
   * their right to be passed over only so often brings.
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
