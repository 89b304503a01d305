// HMACs at the edge, against a known answer and for inputs that must stay distinct.
import { describe, expect, it } from "vitest";
import { boxToken, type Direction } from "../../../shared/box-token.ts";
import { hmacHex, scopeId } from "../../../worker/auth/keyed-hash.ts";

describe("hmacHex", () => {
  it("gives RFC 4231's answer to its second case, also when called again", async () => {
    const expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    expect(await hmacHex("Jefe", "what do ya want for nothing?")).toBe(expected);
    expect(await hmacHex("Jefe", "what do ya want for nothing?")).toBe(expected);
  });

  it("keeps secrets apart, even in parallel calls", async () => {
    const macs = await Promise.all(["one", "two", "one"].map(async (secret) => hmacHex(secret, "x")));
    expect(macs[0]).toBe(macs[2]);
    expect(macs[0]).not.toBe(macs[1]);
  });
});

describe("a scope's id", () => {
  it("differs for every key and every name, however the two are split", async () => {
    const pairs = [
      ["a", "b"],
      ["a", "b:c"],
      ["a:b", "c"],
      ["ab", ""],
      ["", "ab"],
      ["1:a", "b"],
    ] as const;
    const ids = await Promise.all(pairs.map(async ([key, name]) => scopeId("secret", key, name)));
    expect(new Set(ids).size).toBe(pairs.length);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  });

  it("exists for any name", async () => {
    for (const name of ["", "漢字 😀", "x".repeat(100_000), "\u0000"])
      expect(await scopeId("secret", "key", name)).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("a box's token", () => {
  it("is invalid at another box, in the other direction or under another secret", async () => {
    const cases: [string, string, Direction][] = [
      ["secret", "north", "edge-to-agent"],
      ["secret", "north", "agent-to-edge"],
      ["secret", "south", "edge-to-agent"],
      ["other", "north", "edge-to-agent"],
      ["secret", "north:edge-to-agent", "edge-to-agent"],
    ];
    const tokens = await Promise.all(
      cases.map(async ([secret, box, way]) => boxToken(hmacHex, secret, box, way)),
    );
    expect(new Set(tokens).size).toBe(cases.length);
  });
});
