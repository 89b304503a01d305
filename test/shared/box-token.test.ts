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

  it("is different for another secret, another box or the other direction", async () => {
    const tokens = await Promise.all([
      token("secret", "north", "edge-to-agent"),
      token("secret2", "north", "edge-to-agent"),
      token("secret", "south", "edge-to-agent"),
      token("secret", "north", "agent-to-edge"),
    ]);
    expect(new Set(tokens).size).toBe(4);
  });

  it("has the length of the name in the text, so that no two inputs share a text", async () => {
    const texts: string[] = [];
    const recording: Hmac = (_secret, text) => {
      texts.push(text);
      return Promise.resolve("");
    };
    await boxToken(recording, "s", "a", "edge-to-agent");
    await boxToken(recording, "s", "a:edge-to-agent", "agent-to-edge");
    await boxToken(recording, "s", "1:a", "edge-to-agent");
    expect(new Set(texts).size).toBe(3);
    expect(texts[0]).toBe("isha-box-token/1:1:a:edge-to-agent");
  });

  it("does not contain the secret", async () => {
    expect(await token("a-secret-worth-keeping", "north", "edge-to-agent")).not.toContain("secret");
  });
});
