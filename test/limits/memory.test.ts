// The memory that an isolate's limits take of its 128 MiB at their fullest: 100,000 addresses with a lease each, 10,000
// keys, 10,000 refused keys.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { plainRecord } from "../../shared/principal.ts";
import { AddressState } from "../../worker/limits/address-state.ts";
import { KeyState, RefusedKeys } from "../../worker/limits/key-state.ts";
import { LeaseTable } from "../../worker/limits/lease.ts";
import type { LeaseGrant } from "../../worker/limits/lease-request.ts";

const NOW = 1_790_000_000_000;
const LEASE: LeaseGrant = { granted: 5, remaining: 50, endsInMs: 500 };

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapUsed(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

const keyName = (at: number): string => `Key${at} ${at.toString(16).padStart(64, "a")}`;

function fillAddresses(): LeaseTable<AddressState> {
  const addresses = new LeaseTable(100_000, () => new AddressState());
  for (let at = 0; at < 140_000; at += 1) {
    const address = addresses.at(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`, NOW);
    if (address.availability(NOW, 100) === "free") address.take("free", NOW);
    address.receive(address.request(NOW, 100), { lease: LEASE, suspectForMs: 0 }, NOW);
  }
  return addresses;
}

function fillKeys(): LeaseTable<KeyState> {
  const keys = new LeaseTable(10_000, () => new KeyState());
  for (let at = 0; at < 20_000; at += 1) {
    const key = keys.at(keyName(at), NOW);
    key.lease.receive(key.lease.request(NOW, 100), LEASE, NOW);
    key.note({ record: plainRecord(`key ${at}`, 100), quotaSpent: false }, NOW);
  }
  return keys;
}

function fillRefused(): RefusedKeys {
  const refused = new RefusedKeys(10_000);
  for (let at = 0; at < 20_000; at += 1) refused.note(keyName(at), "unknown", NOW);
  return refused;
}

it("is less than half of it, however many come", () => {
  const before = heapUsed();
  const [addresses, keys, refused] = [fillAddresses(), fillKeys(), fillRefused()];
  const megabytes = (heapUsed() - before) / 1e6;
  console.log(`an isolate's limits, full: ${megabytes.toFixed(1)} MB`);
  expect([addresses.size, keys.size, refused.size]).toEqual([100_000, 10_000, 10_000]);
  expect(megabytes).toBeLessThan(64);
});
