// Single cases of sending usage; state-machine.seeded.test.ts runs them all together in random order.
import { describe, expect, it } from "vitest";
import {
  ACK_TIMEOUT_MS,
  IDLE_READ_INTERVAL_MS,
  READ_INTERVAL_MS,
  UsageSender,
} from "../../../origin-agent/link/usage-sender.ts";
import type { UsageBatch } from "../../../origin-agent/usage/journal.ts";
import { MAX_BATCH_CALLS } from "../../../shared/wire.ts";
import { usageCall } from "../support/link-samples.ts";

const batch = (from: number, count = 3, epoch = "epoch-1"): UsageBatch => ({
  epoch,
  calls: Array.from({ length: count }, (_, at) => usageCall(from + at)),
});

/** A sender whose first batch, seqs 1 to 3, is in the ledger. */
function withAckedBatch(): UsageSender {
  const sender = new UsageSender();
  expect(sender.connected(0)).toEqual([{ kind: "read-journal" }]);
  expect(sender.batchRead(batch(1), 0, 0)).toMatchObject([{ kind: "send-usage", frame: { ackedSeq: 0 } }]);
  expect(sender.edgeAcknowledged("epoch-1", 3, 0)).toEqual([
    { kind: "acknowledge", epoch: "epoch-1", seq: 3 },
  ]);
  expect(sender.journalAcknowledged(0)).toEqual([]);
  return sender;
}

/** The same, with its second batch, seqs 4 to 6, in flight. */
function withBatchInFlight(): UsageSender {
  const sender = withAckedBatch();
  sender.tick(READ_INTERVAL_MS);
  expect(sender.batchRead(batch(4), 0, 500)).toMatchObject([{ kind: "send-usage", frame: { ackedSeq: 3 } }]);
  return sender;
}

describe("usage over a link", () => {
  it("names the acknowledged seq in each batch", () => {
    withBatchInFlight();
  });

  it("continues from the edge's seq if the ledger was restored to an earlier state, and reports it", () => {
    const sender = withBatchInFlight();
    expect(sender.edgeAcknowledged("epoch-1", 1, 600)).toMatchObject([
      { kind: "ledger-behind", epoch: "epoch-1", calls: 2 },
      { kind: "send-usage", frame: { ackedSeq: 1, calls: [{ seq: 4 }, { seq: 5 }, { seq: 6 }] } },
    ]);
    expect(sender.edgeAcknowledged("epoch-1", 6, 700)).toEqual([
      { kind: "acknowledge", epoch: "epoch-1", seq: 6 },
    ]);
  });

  it("sends a batch without an acknowledgement again, unchanged", () => {
    const sender = withBatchInFlight();
    expect(sender.tick(500 + ACK_TIMEOUT_MS - 1)).toEqual([]);
    expect(sender.tick(500 + ACK_TIMEOUT_MS)).toMatchObject([{ kind: "send-usage", frame: { ackedSeq: 3 } }]);
  });

  it("acknowledges the part of a batch that the edge has, and sends the rest", () => {
    const sender = withBatchInFlight();
    expect(sender.edgeAcknowledged("epoch-1", 5, 600)).toEqual([
      { kind: "acknowledge", epoch: "epoch-1", seq: 5 },
    ]);
    expect(sender.journalAcknowledged(600)).toEqual([{ kind: "read-journal" }]);
    expect(sender.batchRead(batch(6, 1), 0, 600)).toMatchObject([
      { kind: "send-usage", frame: { ackedSeq: 5 } },
    ]);
  });

  it.each([
    ["of another epoch", "epoch-0", 6],
    ["that is a duplicate", "epoch-1", 3],
  ])("ignores an acknowledgement %s", (_what, epoch, seq) => {
    const sender = withBatchInFlight();
    expect(sender.edgeAcknowledged(epoch, seq, 600)).toEqual([]);
    expect(sender.edgeAcknowledged("epoch-1", 6, 700)).toHaveLength(1);
  });

  it("never acknowledges a call in the journal that it hasn't sent", () => {
    expect(withBatchInFlight().edgeAcknowledged("epoch-1", 1e12, 600)).toEqual([
      { kind: "acknowledge", epoch: "epoch-1", seq: 6 },
    ]);
  });

  it("reads the journal at once after a full batch, soon while calls end, and rarely otherwise", () => {
    const full = new UsageSender();
    full.connected(0);
    full.batchRead(batch(1, MAX_BATCH_CALLS), 0, 0);
    full.edgeAcknowledged("epoch-1", MAX_BATCH_CALLS, 0);
    expect(full.journalAcknowledged(0)).toEqual([{ kind: "read-journal" }]);
    full.batchRead(null, 0, 0);
    expect(full.nextAt()).toBe(IDLE_READ_INTERVAL_MS);
    full.callRecorded(10);
    expect(full.nextAt()).toBe(10 + READ_INTERVAL_MS);
  });

  it("knows when the oldest pending call ended, even without a link", () => {
    const sender = withBatchInFlight();
    expect(sender.oldestPendingAt).toBe(500);
    sender.disconnected();
    expect(sender.oldestPendingAt).toBe(500);
    expect(sender.nextAt()).toBe(Infinity);
    expect(sender.connected(900)).toEqual([{ kind: "read-journal" }]);
    sender.batchRead(batch(4), 400, 900);
    sender.edgeAcknowledged("epoch-1", 6, 950);
    sender.journalAcknowledged(950);
    sender.tick(950 + READ_INTERVAL_MS);
    sender.batchRead(null, 0, 1_400);
    expect(sender.oldestPendingAt).toBeNull();
  });

  it("is finished once the journal is empty, by a read that started after the end", () => {
    const sender = withAckedBatch();
    expect(sender.tick(READ_INTERVAL_MS)).toEqual([{ kind: "read-journal" }]);
    expect(sender.finish(500)).toEqual([]);
    expect(sender.batchRead(null, 0, 510)).toEqual([{ kind: "read-journal" }]);
    expect(sender.finished).toBe(false);
    sender.batchRead(batch(4), 0, 520);
    sender.edgeAcknowledged("epoch-1", 6, 530);
    expect(sender.journalAcknowledged(530)).toEqual([{ kind: "read-journal" }]);
    sender.batchRead(null, 0, 540);
    expect(sender.finished).toBe(true);
  });
});
