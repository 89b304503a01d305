// Checks what happens to waiting calls while their servers come and go, and how many one key may have.
import { beforeEach, describe, expect, it } from "vitest";
import type { AdmissionCall, Offer } from "../../../origin-agent/queue/admission.ts";
import { SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";
import { admissionCalls, TestAdmission } from "../support/test-admission.ts";

let admission: TestAdmission;
let call: ReturnType<typeof admissionCalls>;

/** Two replicas of two slots each. */
beforeEach(() => {
  call = admissionCalls();
  admission = new TestAdmission();
  admission.resize(8080, 2);
  admission.resize(8082, 2);
});

const REPLICAS = { ports: [8080, 8082] };

const offer = (keyId: string, more: Partial<AdmissionCall> = {}): Offer =>
  admission.offer(call(keyId, more), 0);

/** Offers `count` calls from as many keys in turn, and expects them to be accepted. */
function fill(count: number, keys: number, more: Partial<AdmissionCall> = {}): void {
  for (let at = 0; at < count; at += 1) expect(offer(`k${at % keys}`, more).kind).toBe("queued");
}

const taken = (port: number, count: number): (string | undefined)[] =>
  Array.from({ length: count }, () => admission.next(port, 1, 1)?.keyId);

describe("while a server loads", () => {
  const LOAD_MS = 9_000;

  it("the rest of the load is part of the estimate and of every time to retry", () => {
    expect(admission.offer(call("a"), 0, LOAD_MS)).toEqual({
      kind: "queued",
      estimateMs: LOAD_MS + SERVICE_PRIOR_MS / 2,
    });
    // After the load, 20 turns of 2.5 s fit before the queue deadline.
    fill(19, 19);
    expect(admission.offer(call("late"), 0, LOAD_MS)).toEqual({
      kind: "refused",
      reason: "too-long",
      retryAfterMs: LOAD_MS,
    });
    for (let at = 0; at < 150; at += 1) admission.served(8080, 100, 1);
    fill(12, 12);
    const full = admission.offer(call("full"), 0, LOAD_MS);
    expect(full).toMatchObject({ reason: "full" });
    expect(full.kind === "refused" && full.retryAfterMs).toBeCloseTo(LOAD_MS + 50, 0);
  });
});

describe("a call that was admitted before", () => {
  it("is not refused for load when it returns for another try", () => {
    for (let at = 0; at < 150; at += 1) admission.served(8080, 100, 1);
    fill(32, 8);
    expect(offer("k0")).toMatchObject({ kind: "refused" });
    expect(offer("k0", { admitted: true }).kind).toBe("queued");
    expect(offer("k0", { admitted: true, choices: 3 })).toMatchObject({ reason: "too-wide" });
  });
});

describe("a waiting call whose servers change", () => {
  it("waits for the other ports with its arrival and its deadline, even if their places are taken", () => {
    const first = call("a", { deadlineAt: 50_000 });
    admission.offer(first, 0);
    for (let at = 0; at < 150; at += 1) admission.served(8082, 100, 1);
    fill(32, 8, { ports: [8082] });
    admission.move(first.id, [8082]);
    expect(admission.portView(8080)?.waiting).toBe(0);
    expect(admission.portView(8082)?.waiting).toBe(33);
    expect(admission.next(8080, 1, 1)).toBeNull();
    // Its key has had no turn there, and of those it arrived first.
    expect(admission.next(8082, 1, 1)).toBe(first);
    admission.move(first.id, [8080]);
    expect(admission.queued).toBe(32);
  });

  it("keeps its turn among the ports that stay", () => {
    const first = call("a", REPLICAS);
    admission.offer(first, 0);
    offer("b");
    admission.move(first.id, [8080]);
    expect(taken(8082, 1)).toEqual([undefined]);
    expect(taken(8080, 2)).toEqual(["a", "b"]);
  });
});

describe("a key's share of the places", () => {
  it.each([
    [1, 32],
    [0.5, 16],
    [0.25, 8],
  ])("is a setting: %d of 32 places are %d", (sharePerKey, places) => {
    const shared = new TestAdmission({ sharePerKey });
    shared.resize(8080, 2);
    for (let at = 0; at < 150; at += 1) shared.served(8080, 100, 1);
    const kinds = Array.from({ length: 40 }, () => shared.offer(call("one"), 0).kind);
    expect(kinds.filter((kind) => kind === "queued")).toHaveLength(places);
  });
});
