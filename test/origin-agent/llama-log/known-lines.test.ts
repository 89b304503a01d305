import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { lineJudge } from "../../../origin-agent/llama-log/known-lines.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { WAIT_MS } from "../../support/until.ts";
import { MARK, MODEL, OTHER_BUILDS, PLAIN_DAY } from "../support/llama-log.ts";

const judge = lineJudge([MODEL, "tiny.gguf"]);
const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");
const HARMLESS = [...linesOf(PLAIN_DAY), ...linesOf(OTHER_BUILDS)];

describe("a line of llama-server's", () => {
  it.each(HARMLESS)("passes if it contains nothing from clients: %s", (line) => {
    expect(judge(line, true)).toEqual({ kind: "harmless" });
  });

  it.each(HARMLESS)("with a word put anywhere into it does not: %s", (line) => {
    for (let at = 0; at <= line.length; at += 1) {
      const changed = `${line.slice(0, at)}${MARK}${line.slice(at)}`;
      expect(judge(changed, true).kind, changed).not.toBe("harmless");
    }
  });

  it("passes only if it is complete", () => {
    expect(judge("main: model loaded", false).kind).toBe("withheld");
  });

  it("names no model but its own, and none if none was given", () => {
    expect(judge("srv load_model: loading model '/srv/models/other.gguf'", true).kind).toBe("withheld");
    expect(lineJudge([])(`srv load_model: loading model '${MODEL}'`, true).kind).toBe("withheld");
    expect(lineJudge([])("srv load_model: loading model ''", true).kind).toBe("withheld");
  });

  it("may have a model's name that means something in a regular expression", () => {
    const odd = "/srv/models/a+b (c)[d].gguf";
    expect(lineJudge([odd])(`srv load_model: loading model '${odd}'`, true).kind).toBe("harmless");
    expect(lineJudge([odd])("srv load_model: loading model '/srv/models/aab cd.gguf'", true).kind).toBe(
      "withheld",
    );
  });
});

describe("over any text", () => {
  /** What the harmless lines are made of, and what they are not made of. */
  const KNOWN = HARMLESS.flatMap((line) => line.split(/(?<=[\s:|=,()])/));
  const WORDS = ["chest", "pain", "Müller", "1962-04-03", "{", '"', "\\u00fc", "\u0000", "\u001b[31m", MARK];

  it.each(SEEDS)("a line with one word that no known line has never passes (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 300; round += 1) {
      const parts = Array.from({ length: 1 + random.below(12) }, () => random.pick(KNOWN));
      parts.splice(random.below(parts.length + 1), 0, random.pick(WORDS));
      const line = parts.join(random.pick(["", " "]));
      const screened = judge(line, true);
      expect(screened.kind, line).not.toBe("harmless");
      // Of a failure our words pass, and the time: nothing of the line.
      if (screened.kind === "failure") expect(screened.stamp).toMatch(/^[\d. IWED]*$/);
    }
  });

  it.each(SEEDS)("noise never passes (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 300; round += 1) {
      const line = Buffer.from(random.bytes(3 + random.below(80))).toString("latin1");
      expect(judge(line, true).kind, line).toBe("withheld");
    }
  });

  it("comes to an end for lines made to take long", () => {
    const evil = [
      " ".repeat(512),
      "1".repeat(512),
      `slot ${" ".repeat(500)}`,
      `slot print_timing: id ${"1 ".repeat(240)}`,
      `prompt eval time = ${" ".repeat(40)}${"1.".repeat(220)}`,
      `Device 0: NVIDIA${" RTX 3090".repeat(50)}`,
      `print_info: ${"n_ctx ".repeat(80)}= 1`,
      `${"a/".repeat(250)}:1: GGML_ASSER`,
    ];
    // A pattern that backtracks takes hours for one of them; all together take a second.
    const withheld = runInNewContext(
      "evil.filter((line) => judge(line, true).kind === 'withheld').length",
      { evil, judge },
      { timeout: WAIT_MS },
    ) as number;
    expect(withheld).toBe(evil.length);
  });
});
