import { beforeEach, describe, expect, it } from "vitest";
import { QUEUE_DEADLINE_MS, type AdmissionCall, type Offer } from "../../../origin-agent/queue/admission.ts";
import { PASSED_OVER_MAX, SERVICE_PRIOR_MS } from "../../../origin-agent/queue/port-queue.ts";
import { QUEUE_PER_SLOT } from "../../../shared/limits.ts";
import { admissionCalls, NEVER, TestAdmission } from "../support/test-admission.ts";

let admission: TestAdmission;
let call: ReturnType<typeof admissionCalls>;

/** Two replicas of two slots each, and a port of another model with four. */
beforeEach(() => {
  call = admissionCalls();
  admission = new TestAdmission();
  admission.resize(8080, 2);
  admission.resize(8082, 2);
  admission.resize(8084, 4);
});

const REPLICAS = { ports: [8080, 8082] };

const offer = (keyId: string, more: Partial<AdmissionCall> = {}, now = 0): Offer =>
  admission.offer(call(keyId, more), now);

/** Offers `count` calls from as many keys in turn, and expects them to be accepted. */
function fill(count: number, keys: number, more: Partial<AdmissionCall> = {}): void {
  for (let at = 0; at < count; at += 1) expect(offer(`k${at % keys}`, more).kind).toBe("queued");
}

function taken(port: number, count: number, freeSlots = 1): (string | undefined)[] {
  return Array.from({ length: count }, () => admission.next(port, freeSlots, 1)?.keyId);
}

describe("an offer", () => {
  it("is decided at once, and its call waits until it is offered a slot", () => {
    expect(offer("a")).toEqual({ kind: "queued", estimateMs: SERVICE_PRIOR_MS / 2 });
    expect(admission.next(8080, 0, 1)).toBeNull();
    expect(admission.next(8082, 1, 1)).toBeNull();
    expect(admission.next(8080, 1, 1)).toMatchObject({ id: "a-0", keyId: "a" });
    expect(admission.next(8080, 1, 1)).toBeNull();
  });

  it("returns the same object that was offered", () => {
    const mine = { ...call("a"), body: Symbol("body") };
    const typed = new TestAdmission<typeof mine>();
    typed.resize(8080, 1);
    typed.offer(mine, 0);
    expect(typed.next(8080, 1, 1)).toBe(mine);
  });

  it.each<[string, Partial<AdmissionCall>, number]>([
    ["one port", {}, 2 * QUEUE_PER_SLOT],
    ["replicas", REPLICAS, 4 * QUEUE_PER_SLOT],
    ["a larger server", { ports: [8084] }, 4 * QUEUE_PER_SLOT],
  ])("is refused as full when every place is taken: %s", (_what, more, places) => {
    for (const port of [8080, 8082, 8084]) for (let at = 0; at < 150; at += 1) admission.served(port, 100, 1);
    fill(places, 10, more);
    const refused = offer("new", more);
    expect(refused).toMatchObject({ kind: "refused", reason: "full" });
    // One slot becomes free within a slot's share of the 100 ms.
    expect(refused.kind === "refused" && refused.retryAfterMs).toBeCloseTo(
      (100 * QUEUE_PER_SLOT) / places,
      0,
    );
    expect(admission.next(more.ports?.[0] ?? 8080, 1, 1)).not.toBeNull();
    expect(offer("new", more).kind).toBe("queued");
  });

  it("for one port is refused if calls for any replica use all places, and vice versa", () => {
    for (const port of [8080, 8082]) for (let at = 0; at < 150; at += 1) admission.served(port, 100, 1);
    fill(32, 8);
    expect(offer("new")).toMatchObject({ reason: "full" });
    fill(32, 8, REPLICAS);
    expect(offer("new", REPLICAS)).toMatchObject({ reason: "full" });
    expect(offer("new", { ports: [8082] })).toMatchObject({ reason: "full" });
  });

  it("is refused with its own reason if its key already uses half of the places", () => {
    for (let at = 0; at < 150; at += 1) admission.served(8080, 100, 1);
    fill(16, 1);
    const refused = offer("k0");
    expect(refused).toMatchObject({ kind: "refused", reason: "key-share" });
    // Only its own calls take turns: one ends every 50 ms.
    expect(refused.kind === "refused" && refused.retryAfterMs).toBeCloseTo(50, 0);
    expect(offer("other").kind).toBe("queued");
    admission.next(8080, 1, 1);
    expect(offer("k0").kind).toBe("queued");
  });

  it("counts a key's places only on the ports that the call may use", () => {
    for (const port of [8080, 8082]) for (let at = 0; at < 150; at += 1) admission.served(port, 100, 1);
    fill(16, 1);
    expect(offer("k0", { ports: [8082] }).kind).toBe("queued");
    expect(offer("k0", REPLICAS).kind).toBe("queued");
    expect(offer("k0", { ports: [8084] }).kind).toBe("queued");
    expect(offer("k0")).toMatchObject({ reason: "key-share" });
  });

  it("is refused if its turn would come after its queue deadline, with the time to retry", () => {
    // At 5 s per call and two slots, the 24th waits 60 s.
    fill(24, 8);
    expect(offer("k0")).toEqual({ kind: "refused", reason: "too-long", retryAfterMs: 2_500 });
    // A new key's call goes after one call of each other key, not after all of them.
    expect(offer("new")).toEqual({ kind: "queued", estimateMs: 9 * 2_500 });
  });

  it("uses the call's own deadline if that is earlier", () => {
    expect(offer("a", { deadlineAt: 2_499 })).toMatchObject({ reason: "too-long" });
    expect(offer("a", { deadlineAt: 2_501 }).kind).toBe("queued");
    expect(offer("a", { deadlineAt: 100 }, 100)).toMatchObject({ reason: "too-long" });
  });

  it("with more choices than any of its ports has slots is refused permanently", () => {
    expect(offer("a", { choices: 3 })).toEqual({ kind: "refused", reason: "too-wide", retryAfterMs: null });
    expect(offer("a", { choices: 3, ports: [8080, 8084] }).kind).toBe("queued");
    expect(admission.next(8080, 2, 1)).toBeNull();
    expect(admission.next(8084, 3, 1)?.keyId).toBe("a");
    expect(offer("a", { ports: [9999] })).toMatchObject({ reason: "too-wide" });
    expect(offer("a", { ports: [] })).toMatchObject({ reason: "too-wide" });
  });

  it("with an id that is already waiting throws", () => {
    const twice = call("a");
    admission.offer(twice, 0);
    expect(() => admission.offer(twice, 0)).toThrow("is already waiting");
    admission.leave(twice.id);
    expect(admission.offer(twice, 0).kind).toBe("queued");
  });
});

describe("the estimate", () => {
  const estimate = (keyId: string, more: Partial<AdmissionCall> = {}): number => {
    const made = offer(keyId, more);
    if (made.kind !== "queued") throw new Error(made.reason);
    return made.estimateMs;
  };

  it("is 0 if a free slot is its own by turn", () => {
    admission.next(8080, 2, 0);
    expect(estimate("a")).toBe(0);
    // That call waits for the slot; the second slot is free for a call of one choice.
    admission.next(8080, 2, 0);
    expect(estimate("b")).toBe(0);
    admission.next(8080, 1, 0);
    expect(estimate("c")).toBe(2_500);
    admission.next(8082, 1, 0);
    expect(estimate("d", REPLICAS)).toBe(0);
  });

  it("is one turn of each waiting key for a new key, and also its own waiting calls for the others", () => {
    fill(6, 2);
    expect(estimate("new")).toBe(3 * 2_500);
    // Three of its own calls, four of the other key's (which has three), and its own new one.
    expect(estimate("k0")).toBe((3 + 3 + 1 + 1) * 2_500);
  });

  it("lets a key's new scope pass the queues of its other scopes", () => {
    fill(6, 1, { scope: "long" });
    expect(estimate("k0", { scope: "new" })).toBe(2 * 2_500);
    expect(estimate("k0", { scope: "long" })).toBe((6 + 1 + 1) * 2_500);
  });

  it("counts higher priorities' work first, and of lower ones only their guaranteed turns", () => {
    fill(8, 4);
    expect(estimate("h", { priority: "high" })).toBe(2_500);
    expect(estimate("l", { priority: "low" })).toBe((9 + 1) * 2_500);
    expect(estimate("n")).toBe((4 + 1 + 1) * 2_500);
  });

  it("is shared by replicas, and counts each choice of a call", () => {
    fill(4, 4, REPLICAS);
    expect(estimate("new", REPLICAS)).toBe(5 * 1_250);
    expect(estimate("wide", { ...REPLICAS, choices: 2 })).toBeGreaterThan(6 * 1_250);
  });

  it("follows the measured service times, from a prior to about the last ten", () => {
    expect(admission.serviceMs(8080)).toBe(SERVICE_PRIOR_MS);
    admission.served(8080, 1_000, 1);
    expect(admission.serviceMs(8080)).toBe(3_000);
    for (let at = 0; at < 40; at += 1) admission.served(8080, 1_000, 1);
    expect(admission.serviceMs(8080)).toBeCloseTo(1_000, -2);
    admission.served(8080, 11_000, 1);
    expect(admission.serviceMs(8080)).toBeCloseTo(2_000, -2);
    expect(admission.serviceMs(8082)).toBe(SERVICE_PRIOR_MS);
  });

  it("counts a call of several choices as several measurements, and ignores invalid ones", () => {
    admission.served(8080, 1_000, 2);
    expect(admission.serviceMs(8080)).toBe(2_000);
    admission.served(8082, Number.NaN, 1);
    admission.served(8082, Infinity, 1);
    expect(admission.serviceMs(8082)).toBe(SERVICE_PRIOR_MS);
    admission.served(8082, -5, 1);
    expect(admission.serviceMs(8082)).toBeGreaterThan(0);
  });
});

describe("the next call", () => {
  it("is the other key's after at most one call of a key that sent 200 at once", () => {
    let queued = 0;
    for (let at = 0; at < 200; at += 1) queued += Number(offer("hog").kind === "queued");
    expect(queued).toBe(QUEUE_PER_SLOT);
    expect(taken(8080, 2)).toEqual(["hog", "hog"]);
    offer("single");
    expect(taken(8080, 2)).toContain("single");
  });

  it("is chosen fairly between calls for this port only and calls for any replica", () => {
    fill(4, 1);
    for (let at = 0; at < 4; at += 1) offer("any", REPLICAS);
    expect(taken(8080, 6)).toEqual(["k0", "any", "k0", "any", "k0", "any"]);
    // The replica serves the call that may use it and has had no turn there.
    expect(taken(8082, 2)).toEqual(["any", undefined]);
    expect(taken(8080, 2)).toEqual(["k0", undefined]);
  });

  it("has the highest priority, but lower ones are passed over only a limited number of times", () => {
    const ports = [8084];
    for (let at = 0; at < 3; at += 1) offer("low", { ports, priority: "low" });
    for (let at = 0; at < 4; at += 1) offer("normal", { ports });
    for (let at = 0; at < 28; at += 1) offer(`high${at % 2}`, { ports, priority: "high" });
    const order = taken(8084, 35).map((keyId) => keyId?.[0]);
    // A low call after 16 others; a normal one after 8 high ones and perhaps a low one.
    expect(order.join("")).toBe(`${"h".repeat(8)}n${"h".repeat(7)}lhn${"h".repeat(8)}n${"h".repeat(4)}nll`);
    expect(PASSED_OVER_MAX).toEqual({ high: Infinity, normal: 8, low: 16 });
  });

  it("counts as passed over only while it waits", () => {
    for (let at = 0; at < 20; at += 1) offer(`h${at % 4}`, { priority: "high" });
    taken(8080, 12);
    offer("low", { priority: "low" });
    expect(taken(8080, 8)).toEqual(["h0", "h1", "h2", "h3", "h0", "h1", "h2", "h3"]);
  });

  it("with many choices has slots reserved when it is its turn, until it leaves or expires", () => {
    const wide = call("wide", { choices: 2, deadlineAt: 5_000 });
    admission.offer(wide, 0);
    fill(3, 3, {});
    expect(admission.next(8080, 1, 1)).toBeNull();
    offer("new");
    expect(admission.next(8080, 1, 2)).toBeNull();
    // A higher priority still goes first.
    offer("high", { priority: "high" });
    expect(admission.next(8080, 1, 3)?.keyId).toBe("high");
    expect(admission.next(8080, 2, 4)?.keyId).toBe("wide");
    expect(taken(8080, 1)).toEqual(["k0"]);

    const second = call("wide", { choices: 2, deadlineAt: 20_000 });
    admission.offer(second, 5);
    expect(admission.next(8080, 1, 6)?.keyId).toBe("k1");
    expect(admission.next(8080, 1, 7)?.keyId).toBe("k2");
    expect(admission.next(8080, 1, 8)?.keyId).toBe("new");
    expect(admission.next(8080, 1, 9)).toBeNull();
    offer("last");
    expect(admission.next(8080, 1, 19_999)).toBeNull();
    expect(admission.next(8080, 1, 20_000)?.keyId).toBe("last");
    expect(admission.expire(20_000)).toEqual([second.id]);
  });

  it("stays in the queue after `head` until it is taken", () => {
    const first = call("a");
    admission.offer(first, 0);
    offer("b");
    admission.setFree(8080, 1);
    expect(admission.head(8080, 1)).toBe(first);
    offer("c");
    expect(admission.head(8080, 2)).toBe(first);
    admission.take(first.id, 8080);
    admission.take(first.id, 8080);
    expect(admission.queued).toBe(2);
    expect(taken(8080, 3)).toEqual(["b", "c", undefined]);
  });

  it("is never one for which the port no longer has enough slots", () => {
    offer("wide", { ports: [8080, 8084], choices: 2 });
    offer("a");
    admission.resize(8080, 1);
    expect(taken(8080, 2)).toEqual(["a", undefined]);
    expect(taken(8084, 1, 2)).toEqual(["wide"]);
  });
});

describe("a waiting call", () => {
  it("frees its place once when its client disconnects", () => {
    const gone = call("a");
    admission.offer(gone, 0);
    expect([admission.leave(gone.id), admission.leave(gone.id), admission.leave("nobody")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(admission.next(8080, 1, 1)).toBeNull();
    expect(admission.expire(NEVER)).toEqual([]);
  });

  it("expires at its deadline or 60 s after its arrival, whichever is first, and is reported once", () => {
    const patient = call("a");
    const hasty = call("b", { deadlineAt: 10_000 });
    admission.offer(patient, 5);
    admission.offer(hasty, 6);
    expect(admission.expire(9_999)).toEqual([]);
    expect(admission.expire(10_000)).toEqual([hasty.id]);
    expect(admission.expire(4 + QUEUE_DEADLINE_MS)).toEqual([]);
    expect(admission.expire(5 + QUEUE_DEADLINE_MS)).toEqual([patient.id]);
    expect(admission.expire(NEVER)).toEqual([]);
  });

  it("never starts after its deadline, even if the timer is late, and is still reported", () => {
    const late = call("a", { deadlineAt: 6_000 });
    const left = call("b", { deadlineAt: 6_000 });
    admission.offer(late, 0);
    admission.offer(left, 0);
    expect(admission.next(8080, 2, 6_000)).toBeNull();
    expect(admission.leave(left.id)).toBe(true);
    expect(admission.expire(6_001)).toEqual([late.id]);
  });
});

describe("one port's queue", () => {
  it("reports the waiting calls, the places and a new call's wait, and changes nothing", () => {
    expect(admission.portView(9999)).toBeNull();
    const places = admission.portView(8080)?.places;
    admission.setFree(8080, 2);
    expect(admission.portView(8080)).toEqual({ waiting: 0, places, newcomerMs: 0 });
    admission.setFree(8080, 0);
    offer("a");
    offer("b");
    const estimate = offer("c");
    const view = admission.portView(8080);
    expect(view?.waiting).toBe(3);
    expect(view?.newcomerMs).toBeGreaterThan(estimate.kind === "queued" ? estimate.estimateMs : Infinity);
    expect(admission.portView(8080)).toEqual(view);
  });
});

describe("the waiting calls", () => {
  it("are counted by priority", () => {
    offer("a", REPLICAS);
    offer("a", { ports: [8082, 8080], priority: "low" });
    const gone = call("b", { priority: "high" });
    admission.offer(gone, 0);
    expect(admission.waiting()).toEqual({ high: 1, normal: 1, low: 1 });
    admission.leave(gone.id);
    admission.next(8082, 1, 1);
    expect(admission.waiting()).toEqual({ high: 0, normal: 0, low: 1 });
  });
});
