// The frames of the link, as both sides parse them.
import { describe, expect, it } from "vitest";
import fleet from "../../fleet.config.ts";
import { defineFleet } from "../../shared/fleet.ts";
import { SEEDS, SeededRandom } from "../support/seeded-random.ts";
import {
  AgentFrame,
  EdgeFrame,
  fleetText,
  LINK_CLOSE,
  MAX_FRAME_BYTES,
  readFrame,
} from "../../shared/wire.ts";

const WORDS = "the patient's words";

const snapshot = {
  t: "snapshot",
  seq: 1,
  draining: false,
  servers: [
    {
      port: 9000,
      state: "ready",
      why: "",
      slots: 2,
      busy: 0,
      waiting: 0,
      places: 32,
      waitMs: null,
      tokensPerSecond: null,
      firstTokenP50Ms: null,
      firstTokenP95Ms: null,
      continued: 0,
      gpuGib: null,
      restarts: null,
    },
  ],
  gpus: null,
  traffic: {
    windowS: 300,
    byAgent: { agents: [], calls: [], tokens: [] },
    calls: 0,
    failed: 0,
    fallbacks: 0,
    recoveries: 0,
  },
  journal: { state: "ok", behindMs: null },
};

describe("a frame", () => {
  it("keeps unknown figures as null and drops unknown fields", () => {
    const read = readFrame(AgentFrame, JSON.stringify({ ...snapshot, later: 1 }));
    expect(read).toEqual({ ok: true, value: snapshot });
  });

  it("has no draining server: an older agent's is down", () => {
    const servers = (state: string) => [{ ...snapshot.servers[0], state }];
    const read = readFrame(AgentFrame, JSON.stringify({ ...snapshot, servers: servers("draining") }));
    expect(read).toEqual({ ok: true, value: { ...snapshot, servers: servers("down") } });
  });

  it.each([
    ["not JSON", `{"${WORDS}`],
    ["no frame", JSON.stringify({ t: WORDS })],
    ["an invalid field", JSON.stringify({ ...snapshot, seq: WORDS })],
    [
      "an invalid nested field",
      JSON.stringify({ ...snapshot, servers: [{ ...snapshot.servers[0], state: WORDS }] }),
    ],
    ["too large", JSON.stringify({ ...snapshot, more: WORDS.repeat(MAX_FRAME_BYTES / 10) })],
  ])("that is %s gives a reason without any of its content", (_, text) => {
    const read = readFrame(AgentFrame, text);
    expect(read.ok).toBe(false);
    if (!read.ok) expect(read.reason).not.toContain("patient");
  });

  it.each(SEEDS)("never throws, however it was damaged (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const text = JSON.stringify(snapshot);
    for (let round = 0; round < 200; round += 1) {
      const at = random.below(text.length);
      const torn = random.chance(0.5)
        ? text.slice(0, at)
        : text.slice(0, at) + String.fromCodePoint(random.below(0xd7ff)) + text.slice(at + random.below(4));
      expect(() => readFrame(AgentFrame, torn)).not.toThrow();
      expect(() => readFrame(EdgeFrame, torn)).not.toThrow();
    }
  });
});

describe("the link's close codes", () => {
  it("are distinct, and in the range for applications", () => {
    const codes = Object.values(LINK_CLOSE);
    expect(codes.every((code) => code >= 4000 && code <= 4999)).toBe(true);
    expect(new Set(codes).size).toBe(codes.length);
  });
});

describe("the text of a fleet file", () => {
  it("is the same however often the file is checked, and differs for another fleet", () => {
    expect(fleetText(defineFleet(fleet))).toBe(fleetText(fleet));
    expect(fleetText({ ...fleet, domain: "other.example" })).not.toBe(fleetText(fleet));
  });
});
