// Checks calls that find a free slot and no earlier call: they start at once.
import { beforeEach, describe, expect, it } from "vitest";
import type { AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";
import { TestAdmission } from "../support/test-admission.ts";

const NEVER = 1e9;
let admission: TestAdmission;

/** Two replicas of two slots each, and a port of another model with four. */
beforeEach(() => {
  admission = new TestAdmission();
  for (const port of [8080, 8082, 8084]) admission.setFree(port, 2);
  admission.resize(8080, 2);
  admission.resize(8082, 2);
  admission.resize(8084, 4);
});

const mayPass = (port: number, now = 0, deadlineAt = NEVER, choices = 1): boolean =>
  admission.mayPass(port, { choices, deadlineAt }, now);

const call = (id: string, more: Partial<AdmissionCall> = {}): AdmissionCall => ({
  id,
  keyId: id,
  scope: null,
  priority: "normal",
  ports: [8080],
  choices: 1,
  deadlineAt: NEVER,
  ...more,
});

describe("a free slot", () => {
  it("is given at once if no call of any priority waits for that port", () => {
    expect(mayPass(8080)).toBe(true);
    for (const priority of ["high", "normal", "low"] as const) {
      const waiting = call("a", { priority, ports: [8080, 8082] });
      admission.offer(waiting, 0);
      expect([8080, 8082, 8084].map((port) => mayPass(port))).toEqual([false, false, true]);
      admission.leave(waiting.id);
    }
    expect(mayPass(8080)).toBe(true);
  });

  it("is not given if the port is unknown or the call's deadline has passed", () => {
    expect(mayPass(9999)).toBe(false);
    expect([mayPass(8080, 9, 10), mayPass(8080, 10, 10)]).toEqual([true, false]);
  });

  it("goes to later calls once a waiting call's deadline has passed", () => {
    admission.offer(call("a", { deadlineAt: SERVICE_PRIOR_MS * 2 }), 0);
    expect(mayPass(8080, 1)).toBe(false);
    expect(mayPass(8080, SERVICE_PRIOR_MS * 2)).toBe(true);
  });

  it("is not given to a call that needs more of them", () => {
    expect([mayPass(8080, 0, NEVER, 2), mayPass(8080, 0, NEVER, 3)]).toEqual([true, false]);
    admission.setFree(8080, 0);
    expect(mayPass(8080)).toBe(false);
  });

  it("that was given at once no longer counts as free in the next estimates", () => {
    expect(admission.offer(call("a"), 0)).toEqual({ kind: "queued", estimateMs: 0 });
    admission.leave("a");
    admission.setFree(8080, 0);
    expect(admission.offer(call("b"), 0)).toEqual({ kind: "queued", estimateMs: SERVICE_PRIOR_MS / 2 });
  });
});
