import { describe, expect, it } from "vitest";
import { KeyChange, NewKey } from "../../../shared/keys.ts";
import { indexFleet } from "../../../worker/fleet/fleet-index.ts";
import { newRecord, recordChange } from "../../../worker/keys/key-fields.ts";
import { fleetOf } from "../support/fleets.ts";

const NOW = Date.parse("2026-11-23T12:00:00Z");
const index = indexFleet(fleetOf({ limits: { perAddressPerSecond: 1, perKeyPerSecond: 50 } }));

describe("a new key's record", () => {
  it("has the fleet file's limit by default, and may request exactly that limit", () => {
    const record = newRecord(NewKey.parse({ name: "x" }), index, NOW);
    expect(record).toMatchObject({ ok: true, value: { limits: { perSecond: 50 } } });
    const max = newRecord(NewKey.parse({ name: "x", limits: { perSecond: 50 } }), index, NOW);
    expect(max.ok).toBe(true);
  });

  it("expires in the next millisecond at the earliest", () => {
    const until = (expiresAt: string) => newRecord(NewKey.parse({ name: "x", expiresAt }), index, NOW);
    expect(until("2026-11-23T12:00:00.000Z")).toMatchObject({ ok: false, refusal: { param: "expiresAt" } });
    expect(until("2026-11-23T12:00:00.001Z")).toMatchObject({ ok: true, value: { expiresAt: NOW + 1 } });
  });
});

describe("a change", () => {
  it("has only the fields that are present", () => {
    const change = (body: object) => recordChange(KeyChange.parse(body), index, NOW);
    expect(change({ name: "y" })).toEqual({ ok: true, value: { name: "y" } });
    expect(change({ agents: null, expiresAt: null })).toEqual({
      ok: true,
      value: { agents: null, expiresAt: null },
    });
    expect(change({ limits: { concurrent: 3 } })).toEqual({ ok: true, value: { limits: { concurrent: 3 } } });
    expect(change({ agents: [" aLPHA "] })).toEqual({ ok: true, value: { agents: ["Alpha"] } });
  });
});
