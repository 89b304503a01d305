// Keys that were refused a moment ago cost no object call: for a bounded time, and a bounded number of them.
import { describe, expect, it } from "vitest";
import { UNKNOWN_KEY_MS } from "../../../shared/limits.ts";
import { RefusedKeys } from "../../../worker/limits/key-state.ts";

describe("a key that was refused", () => {
  it.each(["unknown", "expired"] as const)("is remembered as %s for its time, and no longer", (fault) => {
    const keys = new RefusedKeys(5);
    keys.note("one", fault, 1_000);
    expect(keys.find("one", 1_000 + UNKNOWN_KEY_MS - 1)).toBe(fault);
    expect(keys.find("one", 1_000 + UNKNOWN_KEY_MS)).toBeNull();
    expect(keys.size).toBe(0);
  });

  it("is not mistaken for another", () => {
    const keys = new RefusedKeys(5);
    keys.note("one", "unknown", 0);
    expect(keys.find("other", 0)).toBeNull();
  });

  it("is forgotten if the clock steps back before its refusal", () => {
    const keys = new RefusedKeys(5);
    keys.note("one", "unknown", 9_000_000);
    expect(keys.find("one", 1_000)).toBeNull();
  });

  it("is forgotten after too many others", () => {
    const keys = new RefusedKeys(3);
    for (const name of ["a", "b", "c", "a", "d"]) keys.note(name, "unknown", 0);
    expect(keys.size).toBe(3);
    expect(["a", "b", "c", "d"].map((name) => keys.find(name, 0))).toEqual([
      "unknown",
      null,
      "unknown",
      "unknown",
    ]);
  });
});
