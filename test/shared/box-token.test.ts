import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { boxToken, type Direction, type Hmac } from "../../shared/box-token.ts";

const hmac: Hmac = (secret, text) => Promise.resolve(createHmac("sha256", secret).update(text).digest("hex"));

const token = (secret: string, box: string, direction: Direction): Promise<string> =>
  boxToken(hmac, secret, box, direction);

describe("a box's token", () => {
  it("is 64 hexadecimal digits and the same every time", async () => {
    const first = await token("secret", "north", "edge-to-agent");
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await token("secret", "north", "edge-to-agent")).toBe(first);
  });

  it("is worth nothing for another secret, at another box or in the other direction", async () => {
    const tokens = await Promise.all([
      token("secret", "north", "edge-to-agent"),
      token("secret2", "north", "edge-to-agent"),
      token("secret", "south", "edge-to-agent"),
      token("secret", "north", "agent-to-edge"),
    ]);
    expect(new Set(tokens).size).toBe(4);
  });

  it("says each part by its length, so that no two questions are one text", async () => {
    const asked: string[] = [];
    const listening: Hmac = (_secret, text) => {
      asked.push(text);
      return Promise.resolve("");
    };
    await boxToken(listening, "s", "a", "edge-to-agent");
    await boxToken(listening, "s", "a:edge-to-agent", "agent-to-edge");
    await boxToken(listening, "s", "1:a", "edge-to-agent");
    expect(new Set(asked).size).toBe(3);
    expect(asked[0]).toBe("isha-box-token/1:1:a:edge-to-agent");
  });

  it("does not hold the secret it was made with", async () => {
    expect(await token("a-secret-worth-keeping", "north", "edge-to-agent")).not.toContain("secret");
  });
});
