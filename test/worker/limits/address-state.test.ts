// The state of one address in an isolate: free passes, what it reports to the object, and what blocks it.
import { describe, expect, it } from "vitest";
import { ADDRESS_FREE_PER_SECOND, FAILED_KEYS_A_MINUTE } from "../../../shared/limits.ts";
import { AddressState } from "../../../worker/limits/address-state.ts";
import { counted, lease } from "../support/limiters.ts";

const NOON = 1_790_000_000_000;
const QUOTA = 100;

/** How many requests are admitted without a lease request. */
function admitted(address: AddressState, now: number, perSecond = QUOTA): number {
  for (let count = 0; ; count += 1) {
    const availability = address.availability(now, perSecond);
    if (availability === "none" || availability === "spent") return count;
    address.take(availability, now);
  }
}

describe("an address", () => {
  it("has its free passes in each second of the isolate's clock", () => {
    const address = new AddressState();
    expect(admitted(address, NOON)).toBe(ADDRESS_FREE_PER_SECOND);
    expect(admitted(address, NOON + 999)).toBe(0);
    expect(admitted(address, NOON + 1_000)).toBe(ADDRESS_FREE_PER_SECOND);
  });

  it("has no more free passes than its limit allows", () => {
    expect(admitted(new AddressState(), NOON, 3)).toBe(3);
  });

  it("includes this second's passes in a lease request, once", () => {
    const address = new AddressState();
    admitted(address, NOON);
    expect(address.request(NOON, QUOTA)).toMatchObject({ want: 1, waiting: 1 });
    expect(address.takeReport().passed).toBe(ADDRESS_FREE_PER_SECOND);
    expect(address.takeReport().passed).toBe(0);
    admitted(address, NOON + 1_000);
    admitted(address, NOON + 2_000);
    expect(address.takeReport().passed).toBe(ADDRESS_FREE_PER_SECOND);
  });

  it("gets back what another limit left unused, a pass as well as a token", () => {
    const address = new AddressState();
    admitted(address, NOON);
    address.giveBack(null, NOON);
    expect(admitted(address, NOON)).toBe(1);
    address.receive(address.request(NOON, QUOTA), counted(lease(2)), NOON);
    expect(address.availability(NOON, QUOTA)).toBe("token");
    const token = address.take("token", NOON);
    address.giveBack(token, NOON);
    expect(admitted(address, NOON)).toBe(1);
  });

  it("reports what is left by what this isolate knows", () => {
    const address = new AddressState();
    expect(address.status(NOON + 400, QUOTA)).toEqual({ perSecond: QUOTA, remaining: QUOTA, resetMs: 600 });
    admitted(address, NOON + 400);
    expect(address.status(NOON + 400, QUOTA).remaining).toBe(QUOTA - ADDRESS_FREE_PER_SECOND);
    const pending = address.request(NOON + 400, QUOTA);
    address.takeReport();
    address.receive(pending, counted(lease(1, 600, { remaining: 30 })), NOON + 400);
    expect(address.status(NOON + 400, QUOTA)).toMatchObject({ remaining: 30, resetMs: 600 });
  });

  it("is suspect after its own failures, or those that its object counted", () => {
    const own = new AddressState();
    for (let key = 0; key < FAILED_KEYS_A_MINUTE; key += 1) own.noteFailedKey(NOON);
    expect(own.isSuspect(NOON + 59_999)).toBe(true);
    expect(own.isSuspect(NOON + 60_000)).toBe(false);
    const other = new AddressState();
    other.receive(other.report(NOON), counted(lease(0), 12_000), NOON);
    expect(other.isSuspect(NOON + 11_999)).toBe(true);
    expect(other.isSuspect(NOON + 12_000)).toBe(false);
  });

  it("reports failed keys to its object, each once", () => {
    const address = new AddressState();
    address.noteFailedKey(NOON);
    address.noteFailedKey(NOON);
    expect(address.report(NOON)).toMatchObject({ want: 0, waiting: 0 });
    expect(address.takeReport()).toMatchObject({ failedKeys: 2 });
    expect(address.takeReport().failedKeys).toBe(0);
  });

  it("is blocked by the platform's shield for a second at a time", () => {
    const address = new AddressState();
    expect(address.shieldedForMs(NOON)).toBe(0);
    address.raiseShield(NOON);
    expect(address.shieldedForMs(NOON + 400)).toBe(600);
    expect(address.shieldedForMs(NOON + 1_000)).toBe(0);
  });
});
