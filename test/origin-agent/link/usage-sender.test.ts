// Which usage goes when, where the storm of state-machine.seeded.test.ts doesn't tell the cases apart.
import { describe, expect, it } from "vitest";
import {
  ACK_WITHIN_MS,
  IDLE_READ_MS,
  UsageFlow,
  USAGE_EVERY_MS,
} from "../../../origin-agent/link/usage-sender.ts";
import type { UsageBatch } from "../../../origin-agent/usage/journal.ts";
import { MAX_BATCH_CALLS } from "../../../shared/wire.ts";
import { usageCall } from "../support/link-samples.ts";

const batch = (from: number, count = 3, epoch = "epoch-1"): UsageBatch => ({
  epoch,
  calls: Array.from({ length: count }, (_, at) => usageCall(from + at)),
});

/** A flow whose first batch, numbers 1 to 3, is in the ledger. */
function begun(): UsageFlow {
  const flow = new UsageFlow();
  expect(flow.linked(0)).toEqual([{ kind: "read" }]);
  expect(flow.read(batch(1), 0, 0)).toMatchObject([{ kind: "usage", frame: { after: 0 } }]);
  expect(flow.acked("epoch-1", 3, 0)).toEqual([{ kind: "acknowledge", epoch: "epoch-1", upTo: 3 }]);
  expect(flow.acknowledged(0)).toEqual([]);
  return flow;
}

/** The same, with its second batch, numbers 4 to 6, on its way. */
function sending(): UsageFlow {
  const flow = begun();
  flow.tick(USAGE_EVERY_MS);
  expect(flow.read(batch(4), 0, 500)).toMatchObject([{ kind: "usage", frame: { after: 3 } }]);
  return flow;
}

describe("usage over a link", () => {
  it("says with each batch what was acknowledged before it", () => {
    sending();
  });

  it("goes on from the edge's mark where the ledger was set back, and says so", () => {
    const flow = sending();
    expect(flow.acked("epoch-1", 1, 600)).toMatchObject([
      { kind: "ledger-behind", epoch: "epoch-1", calls: 2 },
      { kind: "usage", frame: { after: 1, calls: [{ seq: 4 }, { seq: 5 }, { seq: 6 }] } },
    ]);
    expect(flow.acked("epoch-1", 6, 700)).toEqual([{ kind: "acknowledge", epoch: "epoch-1", upTo: 6 }]);
  });

  it("tells a batch again that nobody acknowledged, as it was", () => {
    const flow = sending();
    expect(flow.tick(500 + ACK_WITHIN_MS - 1)).toEqual([]);
    expect(flow.tick(500 + ACK_WITHIN_MS)).toMatchObject([{ kind: "usage", frame: { after: 3 } }]);
  });

  it("keeps what the edge holds of half a batch, and tells the rest", () => {
    const flow = sending();
    expect(flow.acked("epoch-1", 5, 600)).toEqual([{ kind: "acknowledge", epoch: "epoch-1", upTo: 5 }]);
    expect(flow.acknowledged(600)).toEqual([{ kind: "read" }]);
    expect(flow.read(batch(6, 1), 0, 600)).toMatchObject([{ kind: "usage", frame: { after: 5 } }]);
  });

  it.each([
    ["of another epoch", "epoch-0", 6],
    ["said once more", "epoch-1", 3],
  ])("minds no acknowledgement %s", (_what, epoch, upTo) => {
    const flow = sending();
    expect(flow.acked(epoch, upTo, 600)).toEqual([]);
    expect(flow.acked("epoch-1", 6, 700)).toHaveLength(1);
  });

  it("lets go of nothing that it never told, whatever the edge says", () => {
    expect(sending().acked("epoch-1", 1e12, 600)).toEqual([
      { kind: "acknowledge", epoch: "epoch-1", upTo: 6 },
    ]);
  });

  it("asks the journal at once after a full batch, soon while calls end, and seldom where none do", () => {
    const full = new UsageFlow();
    full.linked(0);
    full.read(batch(1, MAX_BATCH_CALLS), 0, 0);
    full.acked("epoch-1", MAX_BATCH_CALLS, 0);
    expect(full.acknowledged(0)).toEqual([{ kind: "read" }]);
    full.read(null, 0, 0);
    expect(full.nextAt()).toBe(IDLE_READ_MS);
    full.noted(10);
    expect(full.nextAt()).toBe(10 + USAGE_EVERY_MS);
  });

  it("says since when something waits, also while there is no link", () => {
    const flow = sending();
    expect(flow.behindSince).toBe(500);
    flow.cut();
    expect(flow.behindSince).toBe(500);
    expect(flow.nextAt()).toBe(Infinity);
    expect(flow.linked(900)).toEqual([{ kind: "read" }]);
    flow.read(batch(4), 400, 900);
    flow.acked("epoch-1", 6, 950);
    flow.acknowledged(950);
    flow.tick(950 + USAGE_EVERY_MS);
    flow.read(null, 0, 1_400);
    expect(flow.behindSince).toBeNull();
  });

  it("is finished once the journal has nothing more, not on what it said before", () => {
    const flow = begun();
    expect(flow.tick(USAGE_EVERY_MS)).toEqual([{ kind: "read" }]);
    expect(flow.finish(500)).toEqual([]);
    expect(flow.read(null, 0, 510)).toEqual([{ kind: "read" }]);
    expect(flow.finished).toBe(false);
    flow.read(batch(4), 0, 520);
    flow.acked("epoch-1", 6, 530);
    expect(flow.acknowledged(530)).toEqual([{ kind: "read" }]);
    flow.read(null, 0, 540);
    expect(flow.finished).toBe(true);
  });
});
