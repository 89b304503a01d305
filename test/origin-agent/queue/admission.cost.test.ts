// Measures the cost of an admission decision as the queue grows, in counted steps of code, not in time.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { PRIORITIES } from "../../../shared/fleet.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { StepCounter } from "../support/counted-steps.ts";
import { TestAdmission } from "../support/test-admission.ts";

/** Places of a box of three servers, and six times that. */
const [REAL, LARGE] = [160, 1_000] as const;
const PORTS = [8080, 8082];
/** Number of operations to average over: an occasional operation also does deferred work. */
const BATCH = 50;

const steps = new StepCounter(/origin-agent\/queue\/(admission|port-queue|turns|work-ahead)\.ts/);
beforeAll(() => steps.start());
afterAll(() => steps.stop());

/** The waiting calls: many keys with one call, few keys with many, one key with many scopes, one scope with many calls. */
const SHAPES: Readonly<Record<string, (at: number) => { keyId: string; scope: string | null }>> = {
  "a key a call": (at) => ({ keyId: `key ${at}`, scope: null }),
  "a hundred keys": (at) => ({ keyId: `key ${at % 100}`, scope: `scope ${at % 7}` }),
  "a scope a call": (at) => ({ keyId: `key ${at % 3}`, scope: `scope ${at}` }),
  "three long rows": (at) => ({ keyId: `key ${at % 3}`, scope: null }),
};

class Waiting {
  readonly admission = new TestAdmission({ queuePerSlot: 1_000_000, queueDeadlineMs: 1e12 });
  readonly #random = new SeededRandom(5);
  readonly #who: (at: number) => { keyId: string; scope: string | null };
  readonly ids: string[] = [];
  #at = 0;

  constructor(size: number, who: (at: number) => { keyId: string; scope: string | null }) {
    this.#who = who;
    for (const port of PORTS) this.admission.resize(port, 2);
    for (let at = 0; at < size; at += 1) this.offer();
  }

  offer(): void {
    const at = this.#at++;
    const call: AdmissionCall = {
      id: `call ${at}`,
      ...this.#who(at),
      priority: this.#random.pick(PRIORITIES),
      ports: this.#random.chance(0.5) ? PORTS : [this.#random.pick(PORTS)],
      choices: 1 + this.#random.below(2),
      deadlineAt: 1e9 + this.#random.below(1e6),
    };
    expect(this.admission.offer(call, 0).kind).toBe("queued");
    this.ids.push(call.id);
  }

  next(): void {
    expect(this.admission.next(this.#random.pick(PORTS), 2, 1)).not.toBeNull();
  }

  leave(): void {
    const [id] = this.ids.splice(this.#random.below(this.ids.length), 1);
    this.admission.leave(id ?? "");
  }

  expire(): void {
    this.admission.expire(1);
  }
}

describe("the steps of an operation grow no faster than the number of waiting calls", () => {
  const OPERATIONS = ["offer", "next", "leave", "expire"] as const;

  it.each(Object.keys(SHAPES))("%s", async (shape) => {
    const who = SHAPES[shape];
    if (who === undefined) throw new Error("no such shape");
    const boxes = [REAL, LARGE].map((size) => new Waiting(size, who));
    for (const operation of OPERATIONS) {
      const costs: number[] = [];
      for (const waiting of boxes) {
        const counted = await steps.count(() => {
          for (let at = 0; at < BATCH; at += 1) waiting[operation]();
        });
        costs.push(Math.round(counted / BATCH));
      }
      const [real = 0, large = 0] = costs;
      expect(real, "something was counted").toBeGreaterThan(10);
      expect(large, `${operation}: ${real}, ${large}`).toBeLessThan(1.5 * (LARGE / REAL) * real);
      // Each waiting call is looked at a few times, not once for each of the others.
      expect(large, operation).toBeLessThan(10 * LARGE);
    }
  });
});
