// Tokens that a call has used, as readings of `/slots` show them: `n_prompt_tokens` includes the answer so far, and an
// idle slot still shows it for its last task (transcripts `slots-busy`, `slots-after-abort`).
import { beforeEach, describe, expect, it } from "vitest";
import { ServerSlots } from "../../../origin-agent/slots/slots.ts";
import type { SlotLease, SlotUsage } from "../../../origin-agent/slots/slot-lease.ts";
import { call, idle, look, observe, type Seen } from "../support/slot-readings.ts";

let slots: ServerSlots;
beforeEach(() => {
  slots = new ServerSlots();
  slots.observe(look(idle(), idle()), 0, 1);
});

const lease = (choices = 1): SlotLease => {
  const leased = slots.acquire(call(null, { choices }), 2);
  if (leased === null) throw new Error("no lease");
  return leased;
};
const running = (tokens: number, decoded: number, task = 7): Seen => ({ busy: true, task, tokens, decoded });
const ended = (tokens: number, task = 7): Seen => ({ busy: false, task, tokens, decoded: 0 });
const provedUsage = (at: number, ...seen: readonly Seen[]): SlotUsage | null | undefined =>
  observe(slots, at, ...seen).proved[0]?.usage;

describe("the tokens of a call", () => {
  it("are unknown until a reading shows it", () => {
    expect(slots.usageOf(lease())).toBeNull();
  });

  it("are those of its prompt and of its answer so far", () => {
    const leased = lease();
    observe(slots, 10, running(220, 195), idle());
    expect(slots.usageOf(leased)).toEqual({ promptTokens: 25, decoded: 195 });
  });

  it("include, after an abort, what was decoded until the proof of its end", () => {
    const leased = lease();
    observe(slots, 10, running(220, 195), idle());
    slots.abandon(leased, 12);
    observe(slots, 20, running(224, 199), idle());
    expect(provedUsage(40, ended(226), idle())).toEqual({ promptTokens: 25, decoded: 201 });
  });

  it("are all taken as its prompt if only its end was seen", () => {
    slots.abandon(lease(), 12);
    expect(provedUsage(20, ended(25), idle())).toEqual({ promptTokens: 25, decoded: 0 });
  });

  it("are not those of the call before it in its slot", () => {
    const first = lease();
    observe(slots, 10, running(220, 195), idle());
    slots.finish(first, 20);
    slots.observe(look(ended(221), running(1, 1, 8)), 30, 30);
    slots.abandon(lease(), 40);
    expect(provedUsage(60, ended(221), idle())).toBeUndefined();
    expect(provedUsage(180, ended(221), idle())).toBeNull();
  });

  it("are the sum of its answers and one prompt if it has several choices", () => {
    const leased = lease(2);
    observe(slots, 10, running(30, 5, 7), running(32, 7, 8));
    slots.abandon(leased, 12);
    observe(slots, 20, ended(31, 7), ended(32, 8));
    expect(provedUsage(200, ended(31, 7), ended(32, 8))).toEqual({ promptTokens: 25, decoded: 13 });
  });

  it("are those last seen if the server's process exits", () => {
    const leased = lease();
    observe(slots, 10, running(220, 195), idle());
    slots.abandon(leased, 12);
    expect(slots.forget(20)).toMatchObject([{ usage: { promptTokens: 25, decoded: 195 } }]);
  });
});
