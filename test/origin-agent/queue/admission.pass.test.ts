// Checks calls that find a free slot and no earlier call: they start at once.
import { beforeEach, describe, expect, it } from "vitest";
import { Admission, type AdmissionCall } from "../../../origin-agent/queue/admission.ts";
import { SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";

const NEVER = 1e9;
let admission: Admission;

/** Two replicas of two slots each, and a port of another model with four. */
beforeEach(() => {
  admission = new Admission();
  admission.resize(8080, 2);
  admission.resize(8082, 2);
  admission.resize(8084, 4);
});

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
    expect(admission.mayPass(8080, NEVER, 0)).toBe(true);
    for (const priority of ["high", "normal", "low"] as const) {
      const waiting = call("a", { priority, ports: [8080, 8082] });
      admission.offer(waiting, 0);
      expect([8080, 8082, 8084].map((port) => admission.mayPass(port, NEVER, 0))).toEqual([
        false,
        false,
        true,
      ]);
      admission.leave(waiting.id);
    }
    expect(admission.mayPass(8080, NEVER, 0)).toBe(true);
  });

  it("is not given if the port is unknown or the call's deadline has passed", () => {
    expect(admission.mayPass(9999, NEVER, 0)).toBe(false);
    expect([admission.mayPass(8080, 10, 9), admission.mayPass(8080, 10, 10)]).toEqual([true, false]);
  });

  it("goes to later calls once a waiting call's deadline has passed", () => {
    admission.offer(call("a", { deadlineAt: SERVICE_PRIOR_MS * 2 }), 0);
    expect(admission.mayPass(8080, NEVER, 1)).toBe(false);
    expect(admission.mayPass(8080, NEVER, SERVICE_PRIOR_MS * 2)).toBe(true);
  });

  it("that was given at once no longer counts as free in the next estimates", () => {
    admission.next(8080, 2, 0);
    expect(admission.offer(call("a"), 0)).toEqual({ kind: "queued", estimateMs: 0 });
    admission.leave("a");
    admission.passed(8080, 2, 2);
    expect(admission.offer(call("b"), 0)).toEqual({ kind: "queued", estimateMs: SERVICE_PRIOR_MS / 2 });
  });
});
