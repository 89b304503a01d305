import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isLocal, tokenCheck } from "../../origin-agent/edge-token.ts";
import { boxToken, type Direction } from "../../shared/box-token.ts";

const tokenOf = (secret: string, box = "north", direction: Direction = "edge-to-agent"): Promise<string> =>
  boxToken(
    (key, text) => Promise.resolve(createHmac("sha256", key).update(text).digest("hex")),
    secret,
    box,
    direction,
  );

describe("the token check", () => {
  it("accepts the token of its own box and direction", async () => {
    const isEdge = await tokenCheck(["secret"], "north", "edge-to-agent");
    expect(isEdge(await tokenOf("secret"))).toBe(true);
  });

  it("accepts tokens of both secrets during a rotation, and of no third secret", async () => {
    const isEdge = await tokenCheck(["new", "old"], "north", "edge-to-agent");
    expect(isEdge(await tokenOf("new"))).toBe(true);
    expect(isEdge(await tokenOf("old"))).toBe(true);
    expect(isEdge(await tokenOf("older"))).toBe(false);
  });

  it("refuses another box's token and one for the other direction", async () => {
    const isEdge = await tokenCheck(["secret"], "north", "edge-to-agent");
    expect(isEdge(await tokenOf("secret", "south"))).toBe(false);
    expect(isEdge(await tokenOf("secret", "north", "agent-to-edge"))).toBe(false);
  });

  it("refuses a missing token, an empty one and one of any other length, and never throws", async () => {
    const isEdge = await tokenCheck(["secret"], "north", "edge-to-agent");
    const right = await tokenOf("secret");
    expect(isEdge(undefined)).toBe(false);
    for (let length = 0; length < right.length; length += 1) {
      expect(isEdge(right.slice(0, length)), `${length} characters`).toBe(false);
    }
    expect(isEdge(`${right}0`)).toBe(false);
    expect(isEdge(right.toUpperCase())).toBe(false);
    // The same number of characters as a token, but more bytes.
    expect(isEdge("é".repeat(64))).toBe(false);
    expect(isEdge("é".repeat(32))).toBe(false);
  });

  it("refuses a token with any one digit changed", async () => {
    const isEdge = await tokenCheck(["secret", "old"], "north", "edge-to-agent");
    const right = await tokenOf("secret");
    for (let at = 0; at < right.length; at += 1) {
      const other = right[at] === "0" ? "1" : "0";
      expect(isEdge(right.slice(0, at) + other + right.slice(at + 1)), `digit ${at}`).toBe(false);
    }
  });

  it("accepts no token if there is no secret", async () => {
    const isEdge = await tokenCheck([], "north", "edge-to-agent");
    expect(isEdge("")).toBe(false);
    expect(isEdge(undefined)).toBe(false);
  });
});

describe("a request from this machine", () => {
  it.each(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])("comes from loopback: %s", (address) => {
    expect(isLocal(address, { host: "a", accept: "*/*", connection: "close" })).toBe(true);
  });

  it.each(["192.0.2.1", "::ffff:192.0.2.1", "fe80::1", "127.0.0.1.example", "", undefined])(
    "comes from no other address: %s",
    (address) => {
      expect(isLocal(address, {})).toBe(false);
    },
  );

  it.each([
    "cf-connecting-ip",
    "cf-ray",
    "cf-visitor",
    "cf-worker",
    "cdn-loop",
    "forwarded",
    "via",
    "x-real-ip",
  ])("has no header of a proxy: %s", (name) => {
    expect(isLocal("127.0.0.1", { host: "a", [name]: "b" })).toBe(false);
  });

  it.each(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"])("nor %s", (name) => {
    expect(isLocal("::1", { [name]: "" })).toBe(false);
  });
});
