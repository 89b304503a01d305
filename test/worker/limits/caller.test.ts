// The name an address is counted under: one for each customer, however the address is spelled.
import { describe, expect, it } from "vitest";
import { addressName as nameOf } from "../../../worker/limits/caller.ts";
import { seeded, type Random } from "../support/random.ts";

const addressName = (address: string | undefined, worker?: string): string => nameOf(address, () => worker);

describe("an address is counted", () => {
  it.each(["192.0.2.1", "10.0.0.255", "255.255.255.255"])("by itself if it is IPv4: %s", (address) => {
    expect(addressName(address)).toBe(address);
  });

  it.each([
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2:ffff::9", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002:0003:0004:0005:0006", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:db8:0:0:1::", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["1:2:3:4:5:6:7::", "1:2:3:4::/64"],
    ["::2:3:4:5:6:7:8", "0:2:3:4::/64"],
    ["64:ff9b::192.0.2.33", "64:ff9b:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["fe80::1%25en0:1", "fe80:0:0:0::/64"],
  ])("by its /64 if it is IPv6: %s as %s", (address, name) => {
    expect(addressName(address)).toBe(name);
  });

  it.each(["::ffff:192.0.2.1", "::FFFF:192.0.2.1", "::ffff:c000:201", "0:0:0:0:0:ffff:c000:0201"])(
    "as the IPv4 address that it maps: %s",
    (address) => {
      expect(addressName(address)).toBe("192.0.2.1");
    },
  );

  it("under the same name in every spelling of the same /64, and another in any other", () => {
    for (let seed = 1; seed <= 500; seed += 1) {
      const random = seeded(seed);
      const network = [0x2001, ...Array.from({ length: 3 }, () => random.integer(0, 0xffff))];
      const spelled = [1, 2].map(() => {
        const host = Array.from({ length: 4 }, () => (random.chance(0.4) ? 0 : random.integer(0, 0xffff)));
        return addressName(spell([...network, ...host], random));
      });
      expect(spelled[0], `seed ${seed}`).toBe(spelled[1]);
      const other = network.map((group, at) => (at === 3 ? group ^ 1 : group));
      expect(addressName(spell([...other, 0, 0, 0, 1], random)), `seed ${seed}`).not.toBe(spelled[0]);
    }
  });
});

describe("the address that Cloudflare's Workers share", () => {
  const EGRESS = "2a06:98c0:3600::103";

  it("is counted by the Worker's zone: one customer's Worker blocked those of all others", () => {
    expect(addressName(EGRESS, "clinic.example")).toBe("worker clinic.example");
    expect(addressName(EGRESS, "Clinic.Example")).toBe("worker clinic.example");
    expect(addressName(EGRESS, "other.example")).toBe("worker other.example");
  });

  it.each([undefined, "", "no zone", "-", "x".repeat(300), "a.example, b.example"])(
    "is counted by its /64 if CF-Worker is no zone: %s",
    (worker) => {
      expect(addressName(EGRESS, worker)).toBe("2a06:98c0:3600:0::/64");
    },
  );

  it.each(["192.0.2.1", "2001:db8:1:2::1", "2a06:98c0:3601::1"])(
    "is no other: CF-Worker can be a client's own text at %s",
    (address) => {
      expect(addressName(address, "clinic.example")).toBe(addressName(address));
    },
  );
});

describe("a text that isn't an address", () => {
  it.each([undefined, ""])("is counted under one name if it is missing: %j", (nothing) => {
    expect(addressName(nothing)).toBe("none");
  });

  it.each([
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "g::1",
    "1:2:3:4:5:6:7:",
    ":1:2:3:4:5:6:7",
    "2001:db8::1/64",
    "[::1]",
    "::ffff:1.2.3",
    "::ffff:1.2.3.999",
    "%eth0:",
  ])("is counted under the same name if it has colons: %s", (malformed) => {
    expect(addressName(malformed)).toBe("none");
  });

  it("is counted under the same name if it has none, so that no client can create objects at will", () => {
    const malformed = ["hello", "1.2.3", "1.2.3.4.5", "999.1.1.1", "1.2.3.4, 5.6.7.8", "x".repeat(5_000)];
    expect(malformed.map((text) => addressName(text))).toEqual(malformed.map(() => "none"));
  });

  it("becomes a name and no exception, whatever it is", () => {
    for (let seed = 1; seed <= 2_000; seed += 1) {
      const random = seeded(seed);
      const text = random.text("0123456789abcdefF:.%/ x", random.integer(0, 50));
      expect(addressName(text).length, `seed ${seed}: ${text}`).toBeGreaterThan(0);
    }
  });
});

/** One of the ways to write eight groups. */
function spell(groups: readonly number[], random: Random): string {
  const written = groups.map((group) => {
    const hex = group.toString(16);
    const padded = random.chance(0.3) ? hex.padStart(4, "0") : hex;
    return random.chance(0.3) ? padded.toUpperCase() : padded;
  });
  const zeros = groups.flatMap((group, at) => (group === 0 ? [at] : []));
  if (zeros.length === 0 || random.chance(0.3)) return written.join(":");
  const from = random.pick(zeros);
  let to = from;
  while (groups[to + 1] === 0 && random.chance(0.8)) to += 1;
  return `${written.slice(0, from).join(":")}::${written.slice(to + 1).join(":")}`;
}
