import { describe, expect, it } from "vitest";
import { apiKeyId, formatApiKey, KEY_ID_BYTES, newKeyId } from "../../shared/api-key.ts";
import { SEEDS, SeededRandom } from "../support/seeded-random.ts";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".split("");

function randomKey(random: SeededRandom): { id: string; key: string } {
  const id = random.text(8 + random.below(25), BASE62);
  return { id, key: formatApiKey(id, random.bytes(32)) };
}

describe("a key", () => {
  it("has its id, 32 bytes of secret in 43 characters, and 6 check characters", () => {
    const key = formatApiKey("0123456789", new Uint8Array(32));
    expect(key).toMatch(/^isha_0123456789_0{43}[0-9A-Za-z]{6}$/);
    expect(apiKeyId(key)).toBe("0123456789");
  });

  it("of the largest secret fits in 43 characters", () => {
    const key = formatApiKey("abcdefgh", new Uint8Array(32).fill(255));
    expect(key).toHaveLength("isha_abcdefgh_".length + 43 + 6);
    expect(apiKeyId(key)).toBe("abcdefgh");
  });

  it("gets an id of twelve characters, a different one from different random bytes", () => {
    const random = new SeededRandom(2);
    const ids = Array.from({ length: 500 }, () => newKeyId(random.bytes(KEY_ID_BYTES)));
    expect(new Set(ids).size).toBe(500);
    for (const id of [...ids, newKeyId(new Uint8Array(9)), newKeyId(new Uint8Array(9).fill(255))]) {
      expect(id).toMatch(/^[0-9A-Za-z]{12}$/);
      expect(apiKeyId(formatApiKey(id, random.bytes(32)))).toBe(id);
    }
  });

  it("has a different text for a different secret", () => {
    const random = new SeededRandom(1);
    const keys = Array.from({ length: 200 }, () => formatApiKey("abcdefgh", random.bytes(32)));
    expect(new Set(keys).size).toBe(200);
  });

  // The CRC-32 of "isha_abcdefgh_" and 43 zeros is 0x48d26e36, here in base62; computed with zlib.
  it("has check characters that are the CRC-32 of the text before them", async () => {
    const { crc32 } = await import("node:zlib");
    let rest = crc32(`isha_abcdefgh_${"0".repeat(43)}`);
    let check = "";
    for (let at = 0; at < 6; at += 1) {
      check = (BASE62[rest % 62] ?? "") + check;
      rest = Math.floor(rest / 62);
    }
    expect(formatApiKey("abcdefgh", new Uint8Array(32)).slice(-6)).toBe(check);
  });

  it.each(SEEDS)("returns its id (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 20; round += 1) {
      const { id, key } = randomKey(random);
      expect(key).toMatch(/^isha_[0-9A-Za-z]{8,32}_[0-9A-Za-z]{49}$/);
      expect(apiKeyId(key)).toBe(id);
    }
  });

  it("has a different text for every secret that differs in one bit", () => {
    const secret = new SeededRandom(1).bytes(32);
    const texts = Array.from({ length: 256 }, (_, bit) =>
      formatApiKey(
        "aaaaaaaa",
        secret.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte)),
      ),
    );
    expect(new Set(texts).size).toBe(256);
  });
});

describe("a mistyped key is rejected:", () => {
  it.each(SEEDS)("with one wrong character (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const { key } = randomKey(random);
    for (let at = 0; at < key.length; at += 1) {
      const other = random.pick(BASE62.filter((character) => character !== key[at]));
      expect(apiKeyId(key.slice(0, at) + other + key.slice(at + 1)), `character ${at}`).toBeNull();
    }
  });

  it("with any other character at any place", () => {
    const { key } = randomKey(new SeededRandom(7));
    for (let at = 0; at < key.length; at += 1) {
      for (const other of [...BASE62, "_", "-", ".", " "]) {
        const mistyped = key.slice(0, at) + other + key.slice(at + 1);
        if (mistyped !== key) expect(apiKeyId(mistyped), mistyped).toBeNull();
      }
    }
  });

  it.each(SEEDS)("with two neighbours swapped, one missing, or one doubled (seed %i)", (seed) => {
    const { key } = randomKey(new SeededRandom(seed));
    for (let at = 0; at < key.length; at += 1) {
      const [one = "", two = one] = key.slice(at, at + 2);
      if (one !== two) {
        expect(apiKeyId(key.slice(0, at) + two + one + key.slice(at + 2)), `swap at ${at}`).toBeNull();
      }
      expect(apiKeyId(key.slice(0, at) + key.slice(at + 1)), `without ${at}`).toBeNull();
      expect(apiKeyId(key.slice(0, at) + one + key.slice(at)), `twice ${at}`).toBeNull();
    }
  });

  const { key } = randomKey(new SeededRandom(7));
  it.each([
    ["empty", ""],
    ["of another product", `sk-${"a".repeat(48)}`],
    ["one of the old system's", "dev-key"],
    ["only our prefix", "isha_"],
    ["without a secret", "isha_aaaaaaaa_"],
    ["with a short id and an unchecked secret", `isha_short_${"a".repeat(49)}`],
    ["with a space before it", ` ${key}`],
    ["with a space after it", `${key} `],
    ["in quotes", `"${key}"`],
    ["with a letter before it", `x${key}`],
    ["with a letter after it", `${key}x`],
    ["with a line end after it", `${key}\n`],
    ["truncated", key.slice(0, -1)],
    ["in other letter case", key.toUpperCase()],
    ["written twice", key + key],
    ["with an id of 7 characters", formatApiKey("1234567", new Uint8Array(32))],
    ["with an id of 33 characters", formatApiKey("a".repeat(33), new Uint8Array(32))],
    ["with an id beyond base62", formatApiKey("abc-defgh", new Uint8Array(32))],
  ])("%s", (_what, text) => {
    expect(apiKeyId(text)).toBeNull();
  });
});
