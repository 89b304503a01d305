import { describe, expect, it } from "vitest";
import { defineFleet, fieldPath, type FleetInput } from "../../shared/fleet.ts";
import { boxInput, fleetInput, serverInput } from "./support/fleet-input.ts";

/** The one box and its servers, for a test to change. */
function parts(fleet: FleetInput) {
  const [box] = fleet.boxes;
  const [first, second, third] = box?.servers ?? [];
  if (box === undefined || first === undefined || second === undefined || third === undefined) {
    throw new Error("the fleet of these tests has one box with three servers");
  }
  return { box, first, second, third };
}

/** The faults that `defineFleet` finds in a changed fleet file, one per line. */
function faultsOf(change: (fleet: FleetInput, named: ReturnType<typeof parts>) => void): string[] {
  const fleet = fleetInput();
  change(fleet, parts(fleet));
  try {
    defineFleet(fleet);
  } catch (error) {
    return (error as Error).message.split("\n").slice(1);
  }
  return [];
}

const SHA256 = "ab".repeat(32);

describe("a valid fleet file", () => {
  it("is accepted, and gets its defaults", () => {
    const fleet = defineFleet(fleetInput());
    expect(fleet.unknownModel).toBe("refuse");
    expect(fleet.fallback).toEqual({});
    expect(fleet.queueSharePerKey).toBe(0.5);
    expect(fleet.boxes[0]?.servers.map(({ flags }) => flags)).toEqual([[], [], []]);
  });

  it("may list an agent type on every replica of one model", () => {
    expect(faultsOf((_, { second }) => (second.agents = ["Radiology", "Pathology"]))).toEqual([]);
  });

  it("may use a port and a PM2 name on another box too, for the same model", () => {
    expect(faultsOf((fleet) => fleet.boxes.push(boxInput("south")))).toEqual([]);
  });

  it("may name the default server by the agent type Default", () => {
    expect(faultsOf((fleet) => (fleet.fallback = { Default: "none", Radiology: "same-model" }))).toEqual([]);
  });

  it("may give one key any share of a queue, but not none and not more than all of it", () => {
    for (const share of [0.01, 1]) expect(faultsOf((fleet) => (fleet.queueSharePerKey = share))).toEqual([]);
    for (const share of [0, 1.01]) {
      const faults = faultsOf((fleet) => (fleet.queueSharePerKey = share));
      expect(faults.join()).toContain("queueSharePerKey: ");
    }
  });

  it("may allow an answer of one token less than a slot", () => {
    expect(faultsOf((_, { third }) => (third.maxTokens = 2047))).toEqual([]);
  });
});

interface Fault {
  readonly what: string;
  readonly change: Parameters<typeof faultsOf>[0];
  /** The field, the reason and its fix, in the message's order. */
  readonly message: readonly [field: string, reason: string, fix: string];
}

const CROSS_CHECKS: readonly Fault[] = [
  {
    what: "two servers of a box with one port",
    change: (_, { second }) => (second.port = 9101),
    message: ["boxes[0].servers[1].port: ", "another server of this box has port 9101", "choose a free one"],
  },
  {
    what: "two servers of a box with one PM2 name",
    change: (_, { third }) => (third.pm2 = "llama-9101"),
    message: [
      "boxes[0].servers[2].pm2: ",
      'another server has the PM2 name "llama-9101"',
      "give each server its own",
    ],
  },
  {
    what: "one agent type on servers of two models",
    change: (_, { third }) => (third.agents = ["Pathology"]),
    message: [
      "boxes[0].servers[2].agents: ",
      'port 9101 (Heron-3B) lists "Pathology" too',
      "remove it from one of them",
    ],
  },
  {
    what: "one agent type on servers of two models, in other letter case",
    change: (_, { third }) => (third.agents = ["pathology"]),
    message: [
      "boxes[0].servers[2].agents: ",
      'port 9101 (Heron-3B) lists "pathology" too',
      "remove it from one of them",
    ],
  },
  {
    what: "an answer as long as the slot, which leaves no room for a prompt",
    change: (_, { first }) => (first.maxTokens = 2048),
    message: ["boxes[0].servers[0].maxTokens: ", "2048 leaves no room for a prompt", "lower it or raise"],
  },
  {
    what: "more memory than 97 % of the card",
    change: (_, { box }) => (box.vramGib = 8.5),
    message: ["boxes[0].servers: ", "97 % of the card's 8.5", "lower slots"],
  },
  {
    what: "a default port that no server has",
    change: (fleet) => (fleet.defaultPort = 9999),
    message: ["defaultPort: ", "no server has port 9999", "the ports are: 9101, 9102, 9103"],
  },
  {
    what: "a model router port that no server has",
    change: (fleet) => (fleet.modelRouter = [9103, 9998]),
    message: ["modelRouter[1]: ", "no server has port 9998", "the ports are: 9101, 9102, 9103"],
  },
  {
    what: "a fallback policy for an agent type that no server lists",
    change: (fleet) => (fleet.fallback = { Dermatology: "none" }),
    message: [
      "fallback.Dermatology: ",
      'no server lists the agent type "Dermatology"',
      "Radiology, Pathology",
    ],
  },
  {
    what: "an old key for an agent type that no server lists",
    change: (fleet) =>
      (fleet.legacy.keys = [{ name: "old", sha256: SHA256, agents: ["Dermatology"], until: "2027-01-31" }]),
    message: ["legacy.keys[0].agents: ", 'the agent type "Dermatology"', "the agent types are: "],
  },
  {
    what: "anonymous calls for an agent type that no server lists",
    change: (fleet) => (fleet.legacy.anonymous = { agents: ["Dermatology"], until: "2027-01-31" }),
    message: ["legacy.anonymous.agents: ", 'the agent type "Dermatology"', "the agent types are: "],
  },
  {
    what: "two boxes of one name",
    change: (fleet) => fleet.boxes.push(boxInput("north")),
    message: ["boxes[1].name: ", 'another box is named "north"', "choose another"],
  },
  {
    what: "a port that is another model on another box",
    change: (fleet) =>
      fleet.boxes.push({
        ...boxInput("south"),
        servers: [serverInput({ port: 9103, model: "Finch-7B", agents: [] })],
      }),
    message: [
      "boxes[1].servers[0].port: ",
      '9103 is Wren-1B on box "north"',
      "must be the same model on every box",
    ],
  },
];

describe("an invalid fleet file is refused with the field, the reason and the fix:", () => {
  it.each(CROSS_CHECKS)("$what", ({ change, message }) => {
    const faults = faultsOf(change);
    expect(faults).toHaveLength(1);
    let from = 0;
    for (const part of message) {
      const at = faults[0]?.indexOf(part, from) ?? -1;
      expect(at, `"${part}" in: ${faults[0]}`).toBeGreaterThanOrEqual(from);
      from = at + part.length;
    }
  });

  it("the memory of each server is listed", () => {
    // 2 of weights, 0.25 of cache, 0.15 of buffers and 0.35 of CUDA's context: 2.75 each.
    const [fault] = faultsOf((_, { box }) => (box.vramGib = 8.5));
    expect(fault).toContain(
      "they need 8.3 GiB (9101: 2.8, 9102: 2.8, 9103: 2.8), but 97 % of the card's 8.5 GiB is 8.2 GiB",
    );
  });

  it("memory of exactly 97 % passes, and of slightly more does not", () => {
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
    ["the file", "(the file): ", (fleet) => Object.assign(fleet, { colour: "red" })],
  ])("an unknown field of %s, with its name", (_what, at, change) => {
    const faults = faultsOf(change);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(at);
    expect(faults[0]).toContain('"colour"');
  });

  it("an agent type that is not valid in a header", () => {
    expect(faultsOf((_, { first }) => (first.agents = ["Radiology", "two words"]))).toEqual([
      expect.stringContaining("boxes[0].servers[0].agents[1]: must have only letters, digits"),
    ]);
  });

  it.each([undefined, "", "soon", "2027-02-30", "31.01.2027"])(
    "an old key without an end date (%s): it was valid for ever",
    (until) => {
      const keys = [{ name: "old", sha256: SHA256, ...(until === undefined ? {} : { until }) }];
      expect(faultsOf((fleet) => Object.assign(fleet.legacy, { keys }))).toEqual([
        expect.stringMatching(
          /legacy\.keys\[0\]\.until: (is missing; it )?must be the day from which the key is/,
        ),
      ]);
    },
  );

  it("an old key that is not a SHA-256, with the command that computes one", () => {
    const [fault] = faultsOf(
      (fleet) => (fleet.legacy.keys = [{ name: "old", sha256: "dev-key", until: "2027-01-31" }]),
    );
    expect(fault).toContain("legacy.keys[0].sha256: ");
    expect(fault).toContain("sha256sum");
    expect(fault).not.toContain("dev-key");
  });

  it("several faults, all in one message", () => {
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

  it("several fields with a wrong type, all in one message", () => {
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
  it("is written as in JavaScript", () => {
    expect(fieldPath(["boxes", 0, "servers", 12, "port"])).toBe("boxes[0].servers[12].port");
    expect(fieldPath([])).toBe("(the file)");
  });
});
