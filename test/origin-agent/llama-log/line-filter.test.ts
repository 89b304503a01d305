import { describe, expect, it } from "vitest";
import { lineClassifier } from "../../../origin-agent/llama-log/known-lines.ts";
import { LineFilter } from "../../../origin-agent/llama-log/line-filter.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { FAILURES, MARK, MODEL, OTHER_BUILDS, PASSING, PLAIN_DAY } from "../support/llama-log.ts";

const newFilter = (): LineFilter => new LineFilter(lineClassifier([MODEL]));

/** The log of an output that arrives in pieces. */
function filtered(pieces: readonly Buffer[]): string {
  const filter = newFilter();
  const lines = pieces.flatMap((piece, at) => filter.push(piece, at * 10));
  return [...lines, ...filter.end(1e9)].join("");
}

/** The output without the counts, whose times depend on when the pieces came. */
const withoutCounts = (text: string): string => text.replace(/^\(… \d+ lines? withheld\)\n/gm, "");

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line.trim() !== "");

/** Number of lines that a log accounts for: its own lines, and those that it counts. */
function accounted(log: string): number {
  const counts = [...log.matchAll(/^\(… (\d+) lines? withheld\)$/gm)].map(([, count]) => Number(count));
  return linesOf(withoutCounts(log)).length + counts.reduce((sum, count) => sum + count, 0);
}

describe("a llama-server's output", () => {
  it("on a normal day is logged as its start and exit, with the number of all other lines", () => {
    const passing = linesOf(PLAIN_DAY).filter((line) => linesOf(PASSING).includes(line));
    expect(
      filtered([Buffer.from(PLAIN_DAY)])
        .trimEnd()
        .split("\n"),
    ).toEqual(["(… 4 lines withheld)", ...passing, "(… 12 lines withheld)"]);
    expect(passing).toHaveLength(6);
  });

  it.each(FAILURES)("of a failed request contains no part of it: %s", (text) => {
    const output = filtered([Buffer.from(`${PLAIN_DAY}${text}\n${OTHER_BUILDS}`)]);
    expect(output).not.toMatch(new RegExp(MARK.split("-").join("|"), "i"));
    expect(accounted(output)).toBe(linesOf(`${PLAIN_DAY}${text}\n${OTHER_BUILDS}`).length);
  });

  it("is replaced by our text for a known failure, with llama-server's own time", () => {
    expect(filtered([Buffer.from(`${FAILURES[0]}\n${FAILURES[2]}\n`)])).toBe(
      "0.04.192.784 W a request failed with an exception (its text is withheld)\n" +
        "0.04.202.741 E a task failed (its text is withheld)\n",
    );
  });

  it("without a line break at its end is reported too", () => {
    expect(filtered([Buffer.from("main: model loaded")])).toBe("main: model loaded\n");
    expect(filtered([Buffer.from(MARK)])).toBe("(… 1 line withheld)\n");
  });

  it("is nothing if it printed nothing, or only empty lines", () => {
    expect([filtered([]), filtered([Buffer.from("\n\n\r\n")])]).toEqual(["", ""]);
  });

  it("may end its lines as Windows does", () => {
    expect(filtered([Buffer.from("main: model loaded\r\n")])).toBe("main: model loaded\n");
  });
});

describe("lines that are withheld", () => {
  it("are counted at once, then at most every 10 s, in their place", () => {
    const filter = newFilter();
    const push = (text: string, now: number): string => filter.push(Buffer.from(text), now).join("");
    expect(push("secret\nsecret\n", 0)).toBe("");
    expect(filter.count(0)).toEqual(["(… 2 lines withheld)\n"]);
    expect(push("secret\nmain: model loaded\n", 5_000)).toBe("main: model loaded\n");
    expect(filter.count(9_000)).toEqual([]);
    expect(push("secret\nmain: model loaded\n", 11_000)).toBe("(… 2 lines withheld)\nmain: model loaded\n");
    expect(filter.count(90_000)).toEqual([]);
  });

  it("may have any length and count as one line each", () => {
    const long = Buffer.from(`main: model loaded${"x".repeat(5_000_000)}\nmain: model loaded\n`);
    expect(filtered([long])).toBe("(… 1 line withheld)\nmain: model loaded\n");
    const failure = `srv operator(): got exception: ${MARK.repeat(10_000)}\n`;
    expect(filtered([Buffer.from(failure)])).toBe(
      "a request failed with an exception (its text is withheld)\n",
    );
  });
});

describe("over any pieces", () => {
  it.each(SEEDS)("is the same, wherever the bytes are cut (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const text = Buffer.from(`${PLAIN_DAY}${FAILURES.join("\n")}\n${OTHER_BUILDS}`);
    const pieces: Buffer[] = [];
    for (let at = 0; at < text.length;) {
      const length = 1 + random.below(random.chance(0.5) ? 4 : 400);
      pieces.push(text.subarray(at, at + length));
      at += length;
    }
    expect(withoutCounts(filtered(pieces))).toBe(withoutCounts(filtered([text])));
  });

  it.each(SEEDS)("bytes that aren't text are withheld and affect no other line (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const noise = Array.from({ length: 50 }, () => Buffer.from(random.bytes(random.below(900))));
    const output = filtered([...noise, Buffer.from("\nmain: model loaded\n")]);
    expect(output).toMatch(/^(\(… \d+ lines? withheld\)\n)*main: model loaded\n$/);
  });
});
