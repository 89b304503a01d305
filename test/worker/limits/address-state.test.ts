// What an isolate knows of one address: what passes unasked, what it tells the object, and who is kept out.
import { describe, expect, it } from "vitest";
import { ADDRESS_FREE_PER_SECOND, FAILED_KEYS_A_MINUTE } from "../../../shared/limits.ts";
import { HeldAddress } from "../../../worker/limits/address-state.ts";
import { counted, lease } from "../support/limiters.ts";

const NOON = 1_790_000_000_000;
const QUOTA = 100;

/** How many requests are let in without anybody being asked. */
function letIn(address: HeldAddress, now: number, perSecond = QUOTA): number {
  for (let count = 0; ; count += 1) {
    const standing = address.standing(now, perSecond);
    if (standing === "ask" || standing === "spent") return count;
    address.take(standing);
  }
}

describe("an address", () => {
  it("passes unasked so often in each second of the isolate's", () => {
    const address = new HeldAddress();
    expect(letIn(address, NOON)).toBe(ADDRESS_FREE_PER_SECOND);
    expect(letIn(address, NOON + 999)).toBe(0);
    expect(letIn(address, NOON + 1_000)).toBe(ADDRESS_FREE_PER_SECOND);
  });

  it("passes no oftener than it may", () => {
    expect(letIn(new HeldAddress(), NOON, 3)).toBe(3);
  });

  it("tells its object of this second's passes, once", () => {
    const address = new HeldAddress();
    letIn(address, NOON);
    const question = address.question(address.ask(NOON, QUOTA), QUOTA);
    expect(question).toMatchObject({
      want: 1,
      waiting: 1,
      perSecond: QUOTA,
      passed: ADDRESS_FREE_PER_SECOND,
    });
    expect(address.question(address.ask(NOON, QUOTA), QUOTA).passed).toBe(0);
    letIn(address, NOON + 1_000);
    letIn(address, NOON + 2_000);
    expect(address.question(address.ask(NOON + 2_000, QUOTA), QUOTA).passed).toBe(ADDRESS_FREE_PER_SECOND);
  });

  it("has back what another limit refused, a pass as well as a token", () => {
    const address = new HeldAddress();
    letIn(address, NOON);
    address.giveBack(null, NOON);
    expect(letIn(address, NOON)).toBe(1);
    address.keep(address.ask(NOON, QUOTA), counted(lease(2)), 1, NOON);
    expect(address.standing(NOON, QUOTA)).toBe("token");
    const taken = address.take("token");
    address.giveBack(taken, NOON);
    expect(letIn(address, NOON)).toBe(1);
  });

  it("is told what is left of what this isolate knows", () => {
    const address = new HeldAddress();
    expect(address.left(NOON + 400, QUOTA)).toEqual({ remaining: QUOTA, resetMs: 600 });
    letIn(address, NOON + 400);
    expect(address.left(NOON + 400, QUOTA).remaining).toBe(QUOTA - ADDRESS_FREE_PER_SECOND);
    const told = counted(lease(1, 600, { remaining: 30 }));
    address.keep(address.ask(NOON + 400, QUOTA), told, 1, NOON + 400);
    address.question(address.ask(NOON + 400, QUOTA), QUOTA);
    expect(address.left(NOON + 400, QUOTA)).toEqual({ remaining: 30, resetMs: 600 });
  });

  it("is refused keys not known to be good by its own failures, and by its object's word", () => {
    const own = new HeldAddress();
    for (let key = 0; key < FAILED_KEYS_A_MINUTE; key += 1) own.noteFailedKey(NOON);
    expect(own.keysRefusedForMs(NOON)).toBe(60_000);
    const told = new HeldAddress();
    told.keep(told.report(NOON), counted(lease(0), 12_000), 0, NOON);
    expect(told.keysRefusedForMs(NOON + 2_000)).toBe(10_000);
    expect(told.keysRefusedForMs(NOON + 12_000)).toBe(0);
  });

  it("tells its object of failed keys, each once", () => {
    const address = new HeldAddress();
    address.noteFailedKey(NOON);
    address.noteFailedKey(NOON);
    const report = address.question(address.report(NOON), QUOTA);
    expect(report).toMatchObject({ want: 0, waiting: 0, wantNext: 0, failedKeys: 2 });
    expect(address.question(address.report(NOON), QUOTA).failedKeys).toBe(0);
  });

  it("is kept out by the platform's shield for a second at a time", () => {
    const address = new HeldAddress();
    expect(address.shieldedForMs(NOON)).toBe(0);
    address.raiseShield(NOON);
    expect(address.shieldedForMs(NOON + 400)).toBe(600);
    expect(address.shieldedForMs(NOON + 1_000)).toBe(0);
  });
});
