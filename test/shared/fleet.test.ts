import { describe, expect, it } from "vitest";
import { defineFleet, fieldPath, type FleetInput } from "../../shared/fleet.ts";
import { boxInput, fleetInput, serverInput } from "./support/fleet-input.ts";

/** The one box and its servers, to break something of. */
function parts(fleet: FleetInput) {
  const [box] = fleet.boxes;
  const [first, second, third] = box?.servers ?? [];
  if (box === undefined || first === undefined || second === undefined || third === undefined) {
    throw new Error("the fleet of these tests has one box with three servers");
  }
  return { box, first, second, third };
}

/** What `defineFleet` says of a fleet file in which something was broken; each fault is a line. */
function faultsOf(breakIt: (fleet: FleetInput, named: ReturnType<typeof parts>) => void): string[] {
  const fleet = fleetInput();
  breakIt(fleet, parts(fleet));
  try {
    defineFleet(fleet);
  } catch (error) {
    return (error as Error).message.split("\n").slice(1);
  }
  return [];
}

const SHA256 = "ab".repeat(32);

describe("a fleet file that is right", () => {
  it("is taken as it is, with what was left out filled in", () => {
    const fleet = defineFleet(fleetInput());
    expect(fleet.unknownModel).toBe("refuse");
    expect(fleet.fallback).toEqual({});
    expect(fleet.boxes[0]?.servers.map(({ flags }) => flags)).toEqual([[], [], []]);
  });

  it("may list an agent type on every replica of one model", () => {
    expect(faultsOf((_, { second }) => (second.agents = ["Radiology", "Pathology"]))).toEqual([]);
  });

  it("may use a port again on another box for the same model, and a PM2 name too", () => {
    expect(faultsOf((fleet) => fleet.boxes.push(boxInput("south")))).toEqual([]);
  });

  it("may speak of the default server as the agent type Default", () => {
    expect(faultsOf((fleet) => (fleet.fallback = { Default: "none", Radiology: "same-model" }))).toEqual([]);
  });

  it("may let an answer be as long as a slot less one token", () => {
    expect(faultsOf((_, { third }) => (third.maxTokens = 2047))).toEqual([]);
  });
});

interface Fault {
  readonly what: string;
  readonly breakIt: Parameters<typeof faultsOf>[0];
  /** The field, the reason and its fix, in the message's order. */
  readonly says: readonly [field: string, reason: string, mend: string];
}

const CROSS_CHECKS: readonly Fault[] = [
  {
    what: "two servers of a box on one port",
    breakIt: (_, { second }) => (second.port = 9101),
    says: ["boxes[0].servers[1].port: ", "9101 is taken by another server of this box", "give it a free one"],
  },
  {
    what: "two servers of a box under one PM2 name",
    breakIt: (_, { third }) => (third.pm2 = "llama-9101"),
    says: ["boxes[0].servers[2].pm2: ", '"llama-9101" is another server\'s', "PM2 needs one name each"],
  },
  {
    what: "one agent type on servers of two models",
    breakIt: (_, { third }) => (third.agents = ["Pathology"]),
    says: [
      "boxes[0].servers[2].agents: ",
      '"Pathology" is listed by port 9101 (Heron-3B) too',
      "take it off one of them",
    ],
  },
  {
    what: "one agent type on servers of two models, in other letter case",
    breakIt: (_, { third }) => (third.agents = ["pathology"]),
    says: ["boxes[0].servers[2].agents: ", '"pathology" is listed by port 9101', "take it off one of them"],
  },
  {
    what: "an answer as long as the slot, which leaves a prompt no room",
    breakIt: (_, { first }) => (first.maxTokens = 2048),
    says: ["boxes[0].servers[0].maxTokens: ", "2048 leaves no room for a prompt", "lower it or raise"],
  },
  {
    what: "more memory than 97 % of the card",
    breakIt: (_, { box }) => (box.vramGib = 8.5),
    says: ["boxes[0].servers: ", "97 % of the card's 8.5", "lower slots"],
  },
  {
    what: "a default port that no server has",
    breakIt: (fleet) => (fleet.defaultPort = 9999),
    says: ["defaultPort: ", "no server has port 9999", "there are: 9101, 9102, 9103"],
  },
  {
    what: "a model router port that no server has",
    breakIt: (fleet) => (fleet.modelRouter = [9103, 9998]),
    says: ["modelRouter[1]: ", "no server has port 9998", "there are: 9101, 9102, 9103"],
  },
  {
    what: "a fallback policy for an agent type that no server lists",
    breakIt: (fleet) => (fleet.fallback = { Dermatology: "none" }),
    says: ["fallback.Dermatology: ", 'no server lists the agent type "Dermatology"', "Radiology, Pathology"],
  },
  {
    what: "an old key for an agent type that no server lists",
    breakIt: (fleet) => (fleet.legacy.keys = [{ name: "old", sha256: SHA256, agents: ["Dermatology"] }]),
    says: ["legacy.keys[0].agents: ", 'the agent type "Dermatology"', "there are: "],
  },
  {
    what: "anonymous calls for an agent type that no server lists",
    breakIt: (fleet) => (fleet.legacy.anonymous = { agents: ["Dermatology"], until: "2027-01-31" }),
    says: ["legacy.anonymous.agents: ", 'the agent type "Dermatology"', "there are: "],
  },
  {
    what: "two boxes of one name",
    breakIt: (fleet) => fleet.boxes.push(boxInput("north")),
    says: ["boxes[1].name: ", '"north" names a box already', "choose another"],
  },
  {
    what: "a port that is another model on another box",
    breakIt: (fleet) =>
      fleet.boxes.push({
        ...boxInput("south"),
        servers: [serverInput({ port: 9103, model: "Finch-7B", agents: [] })],
      }),
    says: [
      "boxes[1].servers[0].port: ",
      '9103 is Wren-1B on box "north"',
      "must mean one model on every box",
    ],
  },
];

describe("a fleet file that is wrong is refused with the field, the reason and the fix:", () => {
  it.each(CROSS_CHECKS)("$what", ({ breakIt, says }) => {
    const faults = faultsOf(breakIt);
    expect(faults).toHaveLength(1);
    let from = 0;
    for (const part of says) {
      const at = faults[0]?.indexOf(part, from) ?? -1;
      expect(at, `"${part}" in: ${faults[0]}`).toBeGreaterThanOrEqual(from);
      from = at + part.length;
    }
  });

  it("the memory each server needs is listed, so that one sees which to shrink", () => {
    // 2 of weights, 0.25 of cache, 0.15 of buffers and 0.35 of CUDA's own: 2.75 each.
    const [fault] = faultsOf((_, { box }) => (box.vramGib = 8.5));
    expect(fault).toContain("they need 8.3 GiB (9101: 2.8, 9102: 2.8, 9103: 2.8) and 8.2 GiB is 97 %");
  });

  it("memory of exactly 97 % passes, and a little less card does not", () => {
    const needed = 3 * 2.75;
    expect(faultsOf((_, { box }) => (box.vramGib = needed / 0.97 + 1e-9))).toEqual([]);
    expect(faultsOf((_, { box }) => (box.vramGib = needed / 0.97 - 1e-3))).toHaveLength(1);
  });

  it.each([
    ["a name with a space", "boxes[0].servers[0].model", "Heron 3B"],
    ["a name with a slash", "boxes[0].servers[0].file", "models/heron.gguf"],
    ["a name that begins with a dot", "boxes[0].servers[0].pm2", ".hidden"],
    ["an empty name", "boxes[0].servers[0].model", ""],
    ["a name of 129 characters", "boxes[0].servers[0].model", "a".repeat(129)],
    ["a name beyond ASCII", "boxes[0].servers[0].model", "Möwe"],
  ])("%s", (_what, field, value) => {
    const key = field.split(".").at(-1) as "model" | "file" | "pm2";
    const faults = faultsOf((_, { first }) => (first[key] = value));
    expect(faults.length).toBeGreaterThan(0);
    for (const fault of faults) expect(fault).toContain(`${field}: `);
  });

  it.each<[string, string, Parameters<typeof faultsOf>[0]]>([
    ["a box", "boxes[0]: ", (_, { box }) => Object.assign(box, { colour: "red" })],
    ["a server", "boxes[0].servers[2]: ", (_, { third }) => Object.assign(third, { colour: "red" })],
    ["the file itself", "(the file itself): ", (fleet) => Object.assign(fleet, { colour: "red" })],
  ])("an unknown field of %s, by its name", (_what, at, breakIt) => {
    const faults = faultsOf(breakIt);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(at);
    expect(faults[0]).toContain('"colour"');
  });

  it("an agent type that could not travel in a header", () => {
    expect(faultsOf((_, { first }) => (first.agents = ["Radiology", "two words"]))).toEqual([
      expect.stringContaining("boxes[0].servers[0].agents[1]: letters, digits"),
    ]);
  });

  it("an old key that is not a SHA-256, with the command that makes one", () => {
    const [fault] = faultsOf((fleet) => (fleet.legacy.keys = [{ name: "old", sha256: "dev-key" }]));
    expect(fault).toContain("legacy.keys[0].sha256: ");
    expect(fault).toContain("sha256sum");
    expect(fault).not.toContain("dev-key");
  });

  it("several faults, all of them at once", () => {
    const faults = faultsOf((fleet, { second, third }) => {
      second.port = 9101;
      third.maxTokens = 4096;
      fleet.modelRouter = [1];
    });
    expect(faults.map((fault) => fault.slice(4).split(":")[0])).toEqual([
      "boxes[0].servers[1].port",
      "boxes[0].servers[2].maxTokens",
      "modelRouter[0]",
    ]);
  });

  it("several fields of a wrong shape, all of them at once", () => {
    const faults = faultsOf((fleet, { first, box }) => {
      first.port = 0;
      box.origin = "box.example.org";
      fleet.domain = "https://models.example.org";
    });
    expect(faults.map((fault) => fault.slice(4).split(": ")[0])).toEqual([
      "domain",
      "boxes[0].origin",
      "boxes[0].servers[0].port",
    ]);
  });
});

describe("the path of a field", () => {
  it("is spelled as JavaScript would", () => {
    expect(fieldPath(["boxes", 0, "servers", 12, "port"])).toBe("boxes[0].servers[12].port");
    expect(fieldPath([])).toBe("(the file itself)");
  });
});
