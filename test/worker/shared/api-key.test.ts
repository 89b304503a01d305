// The text form of a key, in the runtime that reads it.
import { describe, expect, it } from "vitest";
import { apiKeyId, formatApiKey } from "../../../shared/api-key.ts";
import { seeded } from "../support/random.ts";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

describe("a key's text", () => {
  it("gives back the id it was made with, for any id and any secret", () => {
    for (let seed = 1; seed <= 500; seed += 1) {
      const random = seeded(seed);
      const id = random.text(BASE62, random.whole(8, 32));
      const key = formatApiKey(id, random.bytes(32));
      expect(key, `seed ${seed}`).toMatch(/^isha_[0-9A-Za-z]{8,32}_[0-9A-Za-z]{49}$/);
      expect(apiKeyId(key), `seed ${seed}`).toBe(id);
    }
  });

  it("has the same length for the smallest secret and the largest", () => {
    const [low, high] = [0, 255].map((byte) => formatApiKey("aaaaaaaa", new Uint8Array(32).fill(byte)));
    expect(low?.length).toBe(high?.length);
    expect(apiKeyId(low ?? "")).toBe("aaaaaaaa");
    expect(apiKeyId(high ?? "")).toBe("aaaaaaaa");
  });

  it("differs where one bit of the secret does", () => {
    const secret = seeded(1).bytes(32);
    const texts = Array.from({ length: 256 }, (_, bit) =>
      formatApiKey(
        "aaaaaaaa",
        secret.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
      ),
    );
    expect(new Set(texts).size).toBe(256);
  });

  it("with any one character changed is refused", () => {
    const key = formatApiKey("Ab3dEf6h", seeded(7).bytes(32));
    for (let at = 0; at < key.length; at += 1) {
      for (const other of `${BASE62}_-. `) {
        if (other === key[at]) continue;
        const mistyped = key.slice(0, at) + other + key.slice(at + 1);
        expect(apiKeyId(mistyped), mistyped).toBeNull();
      }
    }
  });

  it("with one character lost, doubled or two neighbours swapped is refused", () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const key = formatApiKey(seeded(seed).text(BASE62, 12), seeded(seed).bytes(32));
      for (let at = 0; at < key.length; at += 1) {
        const lost = key.slice(0, at) + key.slice(at + 1);
        const doubled = key.slice(0, at) + key.slice(at, at + 1) + key.slice(at);
        const swapped = key.slice(0, at) + (key[at + 1] ?? "") + (key[at] ?? "") + key.slice(at + 2);
        for (const mistyped of [lost, doubled, swapped])
          if (mistyped !== key) expect(apiKeyId(mistyped), `seed ${seed}: ${mistyped}`).toBeNull();
      }
    }
  });

  it("with anything before or after it is refused", () => {
    const key = formatApiKey("Ab3dEf6h", seeded(7).bytes(32));
    for (const wrapped of [
      ` ${key}`,
      `${key} `,
      `${key}\n`,
      `"${key}"`,
      `x${key}`,
      `${key}x`,
      key.toUpperCase(),
    ])
      expect(apiKeyId(wrapped)).toBeNull();
  });

  it.each(["", "isha_", "dev-key", "sk-abcdef", "isha_aaaaaaaa_", `isha_short_${"a".repeat(49)}`])(
    "that is no key of ours is refused: '%s'",
    (text) => {
      expect(apiKeyId(text)).toBeNull();
    },
  );
});
