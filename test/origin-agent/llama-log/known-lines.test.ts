import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { lineClassifier } from "../../../origin-agent/llama-log/known-lines.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { WAIT_MS } from "../../support/until.ts";
import { COUNTED, MARK, MODEL, PASSING } from "../support/llama-log.ts";

const classify = lineClassifier([MODEL, "tiny.gguf"]);
const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

describe("a line of llama-server's", () => {
  it.each(linesOf(PASSING))("passes if it explains a start or a failure: %s", (line) => {
    expect(classify(line, true)).toEqual({ kind: "harmless" });
  });

  it.each(linesOf(COUNTED))("is withheld if it is routine: %s", (line) => {
    expect(classify(line, true)).toEqual({ kind: "withheld" });
  });

  it.each(linesOf(PASSING))("doesn't pass with a word inserted anywhere: %s", (line) => {
    for (let at = 0; at <= line.length; at += 1) {
      const changed = `${line.slice(0, at)}${MARK}${line.slice(at)}`;
      expect(classify(changed, true).kind, changed).not.toBe("harmless");
    }
  });

  it("passes only if it is complete", () => {
    expect(classify("main: model loaded", false).kind).toBe("withheld");
  });

  it("names no model but its own, and none if none was given", () => {
    expect(classify("srv load_model: loading model '/srv/models/other.gguf'", true).kind).toBe("withheld");
    expect(lineClassifier([])(`srv load_model: loading model '${MODEL}'`, true).kind).toBe("withheld");
    expect(lineClassifier([])("srv load_model: loading model ''", true).kind).toBe("withheld");
  });

  it("may contain a model name with special characters of regular expressions", () => {
    const odd = "/srv/models/a+b (c)[d].gguf";
    expect(lineClassifier([odd])(`srv load_model: loading model '${odd}'`, true).kind).toBe("harmless");
    expect(lineClassifier([odd])("srv load_model: loading model '/srv/models/aab cd.gguf'", true).kind).toBe(
      "withheld",
    );
  });
});

describe("over any text", () => {
  /** Parts of harmless lines, and words that occur in none. */
  const KNOWN = [...linesOf(PASSING), ...linesOf(COUNTED)].flatMap((line) => line.split(/(?<=[\s:|=,()])/));
  const WORDS = ["chest", "pain", "Müller", "1962-04-03", "{", '"', "\\u00fc", "\u0000", "\u001b[31m", MARK];

  it.each(SEEDS)("a line with a word that occurs in no known line never passes (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 300; round += 1) {
      const parts = Array.from({ length: 1 + random.below(12) }, () => random.pick(KNOWN));
      parts.splice(random.below(parts.length + 1), 0, random.pick(WORDS));
      const line = parts.join(random.pick(["", " "]));
      const result = classify(line, true);
      expect(result.kind, line).not.toBe("harmless");
      // For a failure only our text and the stamp pass, nothing else of the line.
      if (result.kind === "failure") expect(result.stamp).toMatch(/^[\d. IWED]*$/);
    }
  });

  it.each(SEEDS)("noise never passes (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 300; round += 1) {
      const line = Buffer.from(random.bytes(3 + random.below(80))).toString("latin1");
      expect(classify(line, true).kind, line).toBe("withheld");
    }
  });

  it("ends quickly for lines that make a regular expression backtrack", () => {
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
    // A backtracking pattern would take hours for one of them; all together take under a second.
    const withheld = runInNewContext(
      "evil.filter((line) => classify(line, true).kind === 'withheld').length",
      { evil, classify },
      { timeout: WAIT_MS },
    ) as number;
    expect(withheld).toBe(evil.length);
  });
});
