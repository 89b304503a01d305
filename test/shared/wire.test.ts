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
import { snapshotFrame } from "./support/frames.ts";

const WORDS = "the patient's words";

const snapshot = snapshotFrame();

describe("a frame", () => {
  it("keeps unknown figures as null and drops unknown fields", () => {
    const read = readFrame(AgentFrame, JSON.stringify({ ...snapshot, later: 1 }));
    expect(read).toEqual({ kind: "frame", frame: snapshot });
  });

  it.each([
    [AgentFrame, { t: "an-agent-of-the-next-release", figures: [1] }],
    [AgentFrame, { t: "ack", epoch: "a", lastSeq: 1 }],
    [EdgeFrame, { t: "an-edge-of-the-next-release" }],
  ])("of an unknown type is unknown, not invalid", (schema, frame) => {
    expect(readFrame<AgentFrame | EdgeFrame>(schema, JSON.stringify(frame))).toEqual({ kind: "unknown" });
  });

  it.each([
    ["not JSON", `{"${WORDS}`],
    ["no frame", JSON.stringify({ words: WORDS })],
    ["a number for its type", JSON.stringify({ t: 1, words: WORDS })],
    ["an invalid field", JSON.stringify({ ...snapshot, seq: WORDS })],
    [
      "an invalid nested field",
      JSON.stringify({ ...snapshot, servers: [{ ...snapshot.servers[0], state: WORDS }] }),
    ],
    ["too large", JSON.stringify({ ...snapshot, more: WORDS.repeat(MAX_FRAME_BYTES / 10) })],
  ])("that is %s gives a reason without any of its content", (_, text) => {
    const read = readFrame(AgentFrame, text);
    expect(read.kind).toBe("invalid");
    if (read.kind === "invalid") expect(read.reason).not.toContain("patient");
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
