// Counts the words of a private dialect in comments, messages and documents, and keeps them as rare as they are in
// the code of others (0 to 2 in 10,000 words). A reader meets these texts for the first time, at night.
import { describe, expect, it } from "vitest";
import { sourceFiles } from "./support/source-text.ts";

/** Words that natural technical English has a plainer term for: report, send, the caller, no client, again, recently, fix, request. */
const DIALECT =
  /\b(?:told|tells|untold|whoever|somebody|nobody|anew|lately|of late|mend(?:s|ed|ing)?|wish(?:es|ed)?)\b|, milliseconds\b/gi;

/** "is down since 12 s": English says "has been down for 12 s". */
const SINCE_DURATION =
  /\b(?:is|are) (?:[a-z-]+ ){1,3}since (?:\d+|\$\{[^}]*\}) ?(?:s|ms|min|h|seconds|minutes)\b/gi;

/** Most occurrences in 10,000 words. */
const MAX_DIALECT = 2;
const MAX_WHERE = 10;

const FILES = sourceFiles([
  "{shared,worker,origin-agent,cli,console,bench,scripts,test}/**/*.{ts,tsx,mjs,cjs}",
  "*.ts",
  "*.md",
  "docs/**/*.md",
  "{worker,origin-agent,console,bench,test}/**/*.md",
]);

const OWN = "test/prose.test.ts";

/** The parts of a file that a person reads: a document whole; of a program its comments and its texts. */
function prose(path: string, text: string): string {
  if (path.endsWith(".md")) return text;
  const parts = text.matchAll(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g,
  );
  return (
    [...parts]
      .map(([part]) => part)
      // A text without a space is a name or a path.
      .filter((part) => /^\/[/*]/.test(part) || part.includes(" "))
      .join("\n")
  );
}

const words = (text: string): number => text.match(/[A-Za-z']+/g)?.length ?? 0;

interface Found {
  readonly perTenThousand: number;
  readonly places: readonly string[];
}

function count(files: Iterable<readonly [string, string]>, pattern: RegExp): Found {
  let total = 0;
  const places: string[] = [];
  for (const [path, text] of files) {
    if (path === OWN) continue;
    const read = prose(path, text);
    total += words(read);
    for (const match of read.matchAll(pattern)) {
      places.push(
        `${path}: …${read.slice(Math.max(0, match.index - 40), match.index + 40).replace(/\s+/g, " ")}…`,
      );
    }
  }
  return { perTenThousand: (places.length / total) * 10_000, places };
}

describe("the texts that people read", () => {
  it("use the field's words, not a dialect of their own", () => {
    const found = count(FILES, DIALECT);
    expect(found.perTenThousand, found.places.join("\n")).toBeLessThanOrEqual(MAX_DIALECT);
  });

  it("state a duration with for, not since", () => {
    expect(count(FILES, SINCE_DURATION).places).toEqual([]);
  });

  it("use `where` for places: if, when or unless state a condition", () => {
    const found = count(FILES, /\bwhere\b/gi);
    expect(found.perTenThousand, found.places.slice(0, 40).join("\n")).toBeLessThanOrEqual(MAX_WHERE);
  });

  it("open a file with a noun or a verb", () => {
    const wrong = [...FILES].filter(([, text]) =>
      /^(?:#![^\n]*\n)?\/\/ (?:What|Which|Whether|How|Who|Where|When)\b/.test(text),
    );
    expect(wrong.map(([path]) => path)).toEqual([]);
  });
});

describe("the count", () => {
  const of = (path: string, text: string, pattern = DIALECT): number =>
    count([[path, text]], pattern).places.length;

  it("reads comments, texts with a space and documents, and no names", () => {
    expect(of("shared/a.ts", "// Nobody is told.")).toBe(2);
    expect(of("shared/a.ts", "/** Told anew. */")).toBe(2);
    expect(of("shared/a.ts", 'fail("somebody must mend it");')).toBe(2);
    expect(of("docs/a.md", "Whoever wishes")).toBe(2);
    expect(of("shared/a.ts", 'const told = "told";')).toBe(0);
  });

  it("finds a duration after since", () => {
    expect(of("shared/a.ts", "`${name} is down since ${seconds} s`", SINCE_DURATION)).toBe(1);
    expect(of("shared/a.ts", '"8085 is down since 12 s"', SINCE_DURATION)).toBe(1);
    expect(of("shared/a.ts", '"8085 has been down for 12 s"', SINCE_DURATION)).toBe(0);
  });
});
