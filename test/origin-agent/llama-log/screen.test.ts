import { describe, expect, it } from "vitest";
import { LogScreen } from "../../../origin-agent/llama-log/screen.ts";
import { lineJudge } from "../../../origin-agent/llama-log/known-lines.ts";
import { SEEDS, SeededRandom } from "../../support/seeded-random.ts";
import { FAILURES, MARK, MODEL, OTHER_BUILDS, PLAIN_DAY } from "../support/llama-log.ts";

const newScreen = (): LogScreen => new LogScreen(lineJudge([MODEL]));

/** All that a log gets of a text, given in pieces. */
function screened(pieces: readonly Buffer[]): string {
  const screen = newScreen();
  const lines = pieces.flatMap((piece, at) => screen.push(piece, at * 10));
  return [...lines, ...screen.end(1e9)].join("");
}

/** The output without the counts, whose times depend on when the pieces came. */
const withoutCounts = (text: string): string => text.replace(/^\(… \d+ lines? withheld\)\n/gm, "");

describe("what a llama-server printed", () => {
  it("is in the log as it is on a plain day", () => {
    expect(screened([Buffer.from(PLAIN_DAY)])).toBe(PLAIN_DAY);
  });

  it.each(FAILURES)("of a failed request contains no part of it: %s", (text) => {
    const output = screened([Buffer.from(`${PLAIN_DAY}${text}\n${OTHER_BUILDS}`)]);
    expect(output).not.toMatch(new RegExp(MARK.split("-").join("|"), "i"));
    expect(output.length).toBeGreaterThan(PLAIN_DAY.length + OTHER_BUILDS.length);
  });

  it("is replaced by our text for a known failure, with llama-server's own time", () => {
    expect(screened([Buffer.from(`${FAILURES[0]}\n${FAILURES[2]}\n`)])).toBe(
      "0.04.192.784 W a request failed with an exception (its text is withheld)\n" +
        "0.04.202.741 E a task failed (its text is withheld)\n",
    );
  });

  it("without a line break at its end is reported too", () => {
    expect(screened([Buffer.from("main: model loaded")])).toBe("main: model loaded\n");
    expect(screened([Buffer.from(MARK)])).toBe("(… 1 line withheld)\n");
  });

  it("is nothing if it printed nothing, or only empty lines", () => {
    expect([screened([]), screened([Buffer.from("\n\n\r\n")])]).toEqual(["", ""]);
  });

  it("may end its lines as Windows does", () => {
    expect(screened([Buffer.from("main: model loaded\r\n")])).toBe("main: model loaded\n");
  });
});

describe("lines that are withheld", () => {
  it("are counted at once, then at most once a second, in their place", () => {
    const screen = newScreen();
    const push = (text: string, now: number): string => screen.push(Buffer.from(text), now).join("");
    expect(push("secret\nsecret\n", 0)).toBe("");
    expect(screen.count(0)).toEqual(["(… 2 lines withheld)\n"]);
    expect(push("secret\nmain: model loaded\n", 500)).toBe("main: model loaded\n");
    expect(screen.count(900)).toEqual([]);
    expect(push("secret\nmain: model loaded\n", 1_100)).toBe("(… 2 lines withheld)\nmain: model loaded\n");
    expect(screen.count(9_000)).toEqual([]);
  });

  it("may be as long as they like, and are one line each", () => {
    const long = Buffer.from(`main: model loaded${"x".repeat(5_000_000)}\nmain: model loaded\n`);
    expect(screened([long])).toBe("(… 1 line withheld)\nmain: model loaded\n");
    const failure = `srv operator(): got exception: ${MARK.repeat(10_000)}\n`;
    expect(screened([Buffer.from(failure)])).toBe(
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
    expect(withoutCounts(screened(pieces))).toBe(withoutCounts(screened([text])));
  });

  it.each(SEEDS)("bytes that are no text are withheld and break nothing (seed %i)", (seed) => {
    const random = new SeededRandom(seed);
    const noise = Array.from({ length: 50 }, () => Buffer.from(random.bytes(random.below(900))));
    const output = screened([...noise, Buffer.from("\nmain: model loaded\n")]);
    expect(output).toMatch(/^(\(… \d+ lines? withheld\)\n)*main: model loaded\n$/);
  });
});
