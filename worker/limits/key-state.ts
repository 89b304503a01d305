// State of keys in this isolate: what is known of a key that its object confirmed, and which keys were refused a moment
// ago. Pure, the clock is passed in.
import { BoundedMap } from "../../shared/bounded-map.ts";
import { UNKNOWN_KEY_MS } from "../../shared/limits.ts";
import type { KeyRecord } from "../../shared/principal.ts";
import { Lease, LEASE_LIFE_MS } from "./lease.ts";
import type { KeyFault } from "./refusals.ts";

/** A failed key counts once in the time for which failed keys are added up (failed-keys.ts). */
const COUNTED_MS = 60_000;

interface KeySnapshot {
  readonly record: KeyRecord;
  /** The month's tokens are used up. */
  readonly quotaSpent: boolean;
}

/** State of one key and secret in this isolate: its lease, and the key as its object last reported it. */
export class KeyState {
  readonly lease = new Lease();
  #snapshot: KeySnapshot | null = null;
  #snapshotAt = -Infinity;

  /** Null before the first answer. */
  get snapshot(): KeySnapshot | null {
    return this.#snapshot;
  }

  /** @param sentAt when the lease request was sent whose answer this is */
  note(snapshot: KeySnapshot, sentAt: number): void {
    if (sentAt < this.#snapshotAt) return;
    this.#snapshot = snapshot;
    this.#snapshotAt = sentAt;
  }

  /** Whether the object confirmed the key so recently that it can't have been revoked for more than a second (7). */
  isFresh(now: number): boolean {
    return now < this.#snapshotAt + LEASE_LIFE_MS;
  }
}

/** Keys that an object has reported as unknown or expired: a client that keeps sending one costs no object call. */
export class RefusedKeys {
  readonly #countedAt: BoundedMap<string, number>;
  readonly #keys: BoundedMap<string, { readonly fault: KeyFault; readonly notedAt: number }>;

  constructor(maxKeys: number) {
    this.#countedAt = new BoundedMap(maxKeys);
    this.#keys = new BoundedMap(maxKeys);
  }

  get size(): number {
    return this.#keys.size;
  }

  /** @param name of the key and the secret that was sent */
  note(name: string, fault: KeyFault, now: number): void {
    this.#keys.set(name, { fault, notedAt: now });
  }

  /** Whether a failed key is to be counted: once a minute, or one forgotten device would make its whole address suspect. */
  counts(name: string, now: number): boolean {
    const countedAt = this.#countedAt.get(name);
    if (countedAt !== undefined && now >= countedAt && now < countedAt + COUNTED_MS) return false;
    this.#countedAt.set(name, now);
    return true;
  }

  /** Null if the key wasn't refused, or too long ago. */
  find(name: string, now: number): KeyFault | null {
    const known = this.#keys.get(name);
    if (known === undefined) return null;
    // After a step back of the clock, the time of the note can lie in the future.
    if (now >= known.notedAt && now < known.notedAt + UNKNOWN_KEY_MS) return known.fault;
    this.#keys.delete(name);
    return null;
  }
}
