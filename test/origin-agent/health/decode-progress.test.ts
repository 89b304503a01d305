import { describe, expect, it } from "vitest";
import {
  NOTHING_WATCHED,
  noteAlive,
  noteReading,
  stallOf,
  stuckSlots,
  type DecodeProgress,
  type ReadingResult,
} from "../../../origin-agent/health/decode-progress.ts";
import type { SlotReading } from "../../../origin-agent/probes/llama.ts";
import { busy, idle } from "../support/health-timeline.ts";

type Looks = readonly (readonly [at: number, slots: readonly SlotReading[] | null])[];

function look(
  looks: Looks,
  from: DecodeProgress = NOTHING_WATCHED,
): ReadingResult & { readonly speeds: number[] } {
  let result: ReadingResult = { progress: from, moved: false, speeds: [] };
  const speeds: number[] = [];
  for (const [at, slots] of looks) {
    result = noteReading(result.progress, slots, at);
    speeds.push(...result.speeds);
  }
  return { ...result, speeds };
}

describe("a look has moved", () => {
  it.each<[string, Looks, boolean]>([
    ["not at the first sight of a busy slot", [[0, [busy(50)]]], false],
    [
      "with one more token",
      [
        [0, [busy(50)]],
        [1_000, [busy(51)]],
      ],
      true,
    ],
    [
      "not with the same count",
      [
        [0, [busy(50)]],
        [1_000, [busy(50)]],
      ],
      false,
    ],
    [
      "with one more prompt token",
      [
        [0, [busy(0, 10)]],
        [1_000, [busy(0, 11)]],
      ],
      true,
    ],
    [
      "with a new task that has a token",
      [
        [0, [idle()]],
        [1_000, [busy(1)]],
      ],
      true,
    ],
    [
      "not with a new task that has none",
      [
        [0, [idle()]],
        [1_000, [busy(0)]],
      ],
      false,
    ],
    [
      "not with unknown counts",
      [
        [0, [busy(null, null)]],
        [1_000, [busy(null, null)]],
      ],
      false,
    ],
    [
      "not with a count that fell",
      [
        [0, [busy(50)]],
        [1_000, [busy(3)]],
      ],
      false,
    ],
    [
      "not without an answer",
      [
        [0, [busy(50)]],
        [1_000, null],
      ],
      false,
    ],
  ])("%s", (_, looks, moved) => {
    expect(look(looks).moved).toBe(moved);
  });
});

describe("a stall", () => {
  it.each<[string, Looks, string | null]>([
    [
      "of a decoding call, 15 s after its last token",
      [
        [0, [busy(5)]],
        [15_000, [busy(5)]],
      ],
      "no-decode",
    ],
    [
      "not before",
      [
        [0, [busy(5)]],
        [14_999, [busy(5)]],
      ],
      null,
    ],
    [
      "of a prompt, 30 s",
      [
        [0, [busy(0)]],
        [30_000, [busy(0)]],
      ],
      "no-prompt-progress",
    ],
    [
      "not before",
      [
        [0, [busy(0)]],
        [29_999, [busy(0)]],
      ],
      null,
    ],
    [
      "not with unknown tokens",
      [
        [0, [busy(null)]],
        [90_000, [busy(null)]],
      ],
      null,
    ],
    [
      "not of an idle slot",
      [
        [0, [idle()]],
        [90_000, [idle()]],
      ],
      null,
    ],
    [
      "not between two tasks",
      [
        [0, [busy(5, 1, 1)]],
        [15_000, [busy(5, 1, 2)]],
      ],
      null,
    ],
    [
      "if the reading itself gets no answer",
      [
        [0, [busy(5)]],
        [15_000, null],
      ],
      "no-decode",
    ],
    [
      "of the main loop, 30 s after the first look without an answer",
      [
        [0, []],
        [1_000, null],
        [31_000, null],
      ],
      "slots-silent",
    ],
    [
      "not before",
      [
        [0, []],
        [1_000, null],
        [30_999, null],
      ],
      null,
    ],
    [
      "not if /slots never answered",
      [
        [0, null],
        [90_000, null],
      ],
      null,
    ],
  ])("%s", (_, looks, tag) => {
    expect(stallOf(look(looks).progress)?.tag ?? null).toBe(tag);
  });

  it("isn't judged by time alone, without a reading", () => {
    const { progress } = look([[0, [busy(5)]]]);
    expect(stallOf(progress)).toBe(null);
    expect(stuckSlots(progress)).toEqual([]);
  });

  it("is reported with its slot and duration", () => {
    expect(
      stallOf(
        look([
          [0, [busy(5, 1, 1, 3)]],
          [20_000, [busy(5, 1, 1, 3)]],
        ]).progress,
      ),
    ).toEqual({
      tag: "no-decode",
      slot: 3,
      silentMs: 20_000,
    });
  });

  it("of /slots isn't counted again once the server has proved to decode, until it answers again", () => {
    const silent = look([
      [0, []],
      [1_000, null],
      [20_000, null],
    ]).progress;
    const proved = noteAlive(silent, 21_000);
    expect(
      stallOf(
        look(
          [
            [22_000, null],
            [90_000, null],
          ],
          proved,
        ).progress,
      ),
    ).toBe(null);
    const answered = look(
      [
        [22_000, []],
        [23_000, null],
        [53_000, null],
      ],
      proved,
    ).progress;
    expect(stallOf(answered)?.tag).toBe("slots-silent");
  });
});

describe("speeds", () => {
  it("are measured over three seconds and more, from the first token on", () => {
    const looks: Looks = Array.from({ length: 8 }, (_, at) => [at * 1_000, [busy(at * 20)]] as const);
    expect(look(looks).speeds).toEqual([20, 20]);
  });

  it("of less than a token in three seconds wait for the next one", () => {
    expect(
      look([
        [0, [busy(1)]],
        [4_000, [busy(1)]],
        [8_000, [busy(1)]],
        [10_000, [busy(2)]],
      ]).speeds,
    ).toEqual([0.1]);
  });
});

it("watches no more than 128 slots", () => {
  const many = Array.from({ length: 500 }, (_, id) => busy(1, 1, 1, id));
  expect(look([[0, many]]).progress.busy).toHaveLength(128);
});
