// The leases of many names: bounded, and dropped when the clock steps back.
import { describe, expect, it } from "vitest";
import { LEASE_MARGIN_MS } from "../../../shared/limits.ts";
import { LeaseTable } from "../../../worker/limits/lease.ts";

const table = (max: number): LeaseTable<object> => new LeaseTable(max, () => ({}));

describe("a table of leases", () => {
  it("has one entry for each name, created at its first use", () => {
    const leases = table(10);
    const one = leases.at("one", 0);
    expect(leases.at("one", 5)).toBe(one);
    expect(leases.at("other", 5)).not.toBe(one);
  });

  it("evicts the name that was used longest ago", () => {
    const leases = table(2);
    const [one, two] = [leases.at("one", 0), leases.at("two", 0)];
    leases.at("one", 0);
    leases.at("three", 0);
    expect(leases.size).toBe(2);
    expect(leases.at("one", 0)).toBe(one);
    expect(leases.at("two", 0)).not.toBe(two);
  });

  it("creates a deleted name again", () => {
    const leases = table(2);
    const one = leases.at("one", 0);
    leases.delete("one");
    expect(leases.at("one", 0)).not.toBe(one);
  });

  it("drops every lease when the clock steps back, once", () => {
    const leases = table(5);
    const before = ["one", "two", "three"].map((name) => leases.at(name, 10_000));
    const one = leases.at("one", 9_000);
    expect(leases.size).toBe(1);
    expect(before).not.toContain(one);
    leases.at("two", 9_010);
    expect(leases.at("one", 9_010)).toBe(one);
  });

  it("doesn't mistake the clock of a request that stood still for a step", () => {
    const leases = table(5);
    const one = leases.at("one", 10_000);
    expect(leases.at("one", 10_000 - LEASE_MARGIN_MS)).toBe(one);
    expect(leases.at("one", 10_000 - LEASE_MARGIN_MS - 1)).not.toBe(one);
  });
});
