// What an isolate's limits take of its 128 MiB at their fullest: 100,000 addresses, 10,000 keys, 10,000 bad ones.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { Lease } from "../../worker/limits/lease-request.ts";
import { plainRecord } from "../../shared/principal.ts";
import { HeldAddresses } from "../../worker/limits/address-table.ts";
import { HeldLease } from "../../worker/limits/lease.ts";
import { LeasePool } from "../../worker/limits/bounded-map.ts";
import { RefusedKeys } from "../../worker/limits/refused-keys.ts";

const NOW = 1_790_000_000_000;
const LEASE: Lease = {
  granted: 5,
  remaining: 50,
  endsInMs: 500,
  next: { granted: 5, remaining: 50, startsInMs: 500, endsInMs: 1_500 },
};

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heapUsed(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

const keyName = (at: number): string => `Key${at} ${at.toString(16).padStart(64, "a")}`;

function fillAddresses(): HeldAddresses {
  const addresses = new HeldAddresses();
  // Each asks for a lease. The table has grown for the last time once 2^17 have come: it holds the forgotten ones
  // too until it is copied.
  for (let at = 0; at < 140_000; at += 1) {
    const name = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
    const address = addresses.at(name, NOW);
    if (address.standing(NOW, 100) === "free") address.take("free");
    const ticket = address.ask(NOW, 100);
    addresses.noteLease(name, address);
    address.keep(ticket, { lease: LEASE, keysRefusedForMs: 0 }, 1, NOW);
  }
  return addresses;
}

function fillKeys(): LeasePool<HeldLease<object>> {
  const keys = new LeasePool(10_000, (now) => new HeldLease<object>(now));
  for (let at = 0; at < 20_000; at += 1) {
    const key = keys.at(keyName(at), NOW);
    key.keep(key.ask(NOW, 100), LEASE, { record: plainRecord(`key ${at}`, 100), quotaSpent: false }, 1, NOW);
  }
  return keys;
}

function fillRefused(): RefusedKeys {
  const refused = new RefusedKeys(10_000);
  for (let at = 0; at < 20_000; at += 1) refused.note(keyName(at), "unknown", NOW);
  return refused;
}

it("is less than half of it, and no more however many come", () => {
  const before = heapUsed();
  const [addresses, keys, refused] = [fillAddresses(), fillKeys(), fillRefused()];
  const megabytes = (heapUsed() - before) / 1e6;
  console.log(`an isolate's limits, full: ${megabytes.toFixed(1)} MB`);
  expect([addresses.size, keys.size, refused.size]).toEqual([100_000, 10_000, 10_000]);
  expect(megabytes).toBeLessThan(64);
});
