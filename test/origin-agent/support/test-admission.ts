// Admission with a number of free slots that the test sets, and the two steps of dispatch in one.
import {
  Admission,
  type AdmissionCall,
  type AdmissionSettings,
} from "../../../origin-agent/queue/admission.ts";

/** A time that no test reaches. */
export const NEVER = 1e9;

export class TestAdmission<C extends AdmissionCall = AdmissionCall> extends Admission<C> {
  readonly #free: Map<number, number>;

  constructor(settings: Partial<AdmissionSettings> = {}) {
    const free = new Map<number, number>();
    super({ freeSlots: (port) => free.get(port) ?? 0, ...settings });
    this.#free = free;
  }

  setFree(port: number, slots: number): void {
    this.#free.set(port, slots);
  }

  /** Begins the next call as the dispatch does: `head`, a lease, `take`. */
  next(port: number, freeSlots: number, now: number): C | null {
    this.setFree(port, freeSlots);
    const call = this.head(port, now);
    if (call === null) return null;
    this.take(call.id, port);
    this.setFree(port, freeSlots - call.choices);
    return call;
  }

  /** Waiting calls of all priorities. */
  get queued(): number {
    return Object.values(this.waiting()).reduce((sum, count) => sum + count, 0);
  }
}

/** Makes calls with the ids `key-0`, `key-1`, …, counted from the creation of the maker. */
export function admissionCalls() {
  let count = 0;
  return (keyId: string, more: Partial<AdmissionCall> = {}): AdmissionCall => ({
    id: `${keyId}-${count++}`,
    keyId,
    scope: null,
    priority: "normal",
    ports: [8080],
    choices: 1,
    deadlineAt: NEVER,
    ...more,
  });
}
