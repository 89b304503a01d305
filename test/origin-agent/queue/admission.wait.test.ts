// Checks what a waiting call is said to wait for: its place and the rest of its wait.
import { describe, expect, it } from "vitest";
import type { AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { TestAdmission } from "../support/test-admission.ts";

const call = (id: string, more: Partial<AdmissionCall> = {}): AdmissionCall => ({
  id,
  keyId: id,
  scope: null,
  priority: "normal",
  ports: [8080],
  choices: 1,
  deadlineAt: 1e9,
  ...more,
});

describe("the place of a waiting call", () => {
  it("counts the calls before it, and its time is theirs on this port's slots", () => {
    const admission = new TestAdmission();
    admission.resize(8080, 2);
    for (const id of ["a", "b", "c"]) admission.offer(call(id), 0);
    const waits = ["a", "b", "c"].map((id) => admission.waitOf(id));
    expect(waits.map((wait) => wait?.place)).toEqual([1, 2, 3]);
    expect(waits.map((wait) => wait?.aboutMs)).toEqual(
      [1, 2, 3].map((place) => (place * SERVICE_PRIOR_MS) / 2),
    );
    admission.next(8080, 1, 0);
    expect(admission.waitOf("a")).toBeNull();
    expect(admission.waitOf("c")?.place).toBe(2);
  });

  it("is before calls of a lower priority", () => {
    const admission = new TestAdmission();
    admission.resize(8080, 1);
    admission.offer(call("low", { priority: "low" }), 0);
    admission.offer(call("high", { priority: "high" }), 0);
    expect(admission.waitOf("high")?.place).toBe(1);
  });

  it.each(SEEDS)(
    "is never beyond the calls that arrived before it, nor its time negative (seed %i)",
    (seed) => {
      const random = new SeededRandom(seed);
      const admission = new TestAdmission({ sharePerKey: 1, queueDeadlineMs: 1e8 });
      const ports = [8080, 8082];
      for (const port of ports) admission.resize(port, 2);
      const waiting: string[] = [];
      for (let at = 0; at < 200; at += 1) {
        const id = `call-${at}`;
        const asked = call(id, {
          keyId: `key-${random.below(4)}`,
          priority: random.pick(["high", "normal", "low"]),
          ports: random.chance(0.5) ? ports : [random.pick(ports)],
          choices: random.chance(0.2) ? 2 : 1,
        });
        if (admission.offer(asked, at).kind === "queued") waiting.push(id);
        const taken = random.chance(0.4) ? admission.next(random.pick(ports), 2, at) : null;
        if (taken !== null) waiting.splice(waiting.indexOf(taken.id), 1);
        for (const [before, one] of waiting.entries()) {
          const wait = admission.waitOf(one);
          expect(wait?.place).toBeGreaterThanOrEqual(1);
          expect(wait?.place).toBeLessThanOrEqual(before + 1);
          expect(wait?.aboutMs).toBeGreaterThan(0);
        }
      }
    },
  );
});
