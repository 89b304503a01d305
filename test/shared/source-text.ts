// The sources as text, for the tests that hold them to the design: which files there are, what of them is
// code, and what they import. A scanner for our own style, not a parser of TypeScript.
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The text of a file of the project. */
export const readSource = (path: string): string => readFileSync(`${ROOT}/${path}`, "utf8");

/** Every source file under these folders or patterns, by its path from the root. */
export function sourceFiles(patterns: readonly string[]): Map<string, string> {
  const paths = patterns.flatMap((pattern) => globSync(pattern, { cwd: ROOT }));
  const ours = paths.filter((path) => !/(^|\/)(node_modules|\.wrangler|dist)\//.test(path));
  return new Map(ours.sort().map((path) => [path, readSource(path)]));
}

const STRINGS = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/.source;
/** A regular expression stands where a value does; what `/` means elsewhere is division. */
const REGEXES = /(?<=[(,=:[!&|?{};]\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/.source;
const COMMENTS = /\/\/[^\n]*|\/\*[^]*?\*\//.source;
const SKIP = new RegExp(`${STRINGS}|${REGEXES}|(${COMMENTS})`, "g");

/** The text with every comment taken out and every line where it was. */
export function withoutComments(text: string): string {
  return text.replace(SKIP, (whole, comment: string | undefined) =>
    comment === undefined ? whole : comment.replace(/[^\n]+/g, " "),
  );
}

const TEXT = new RegExp(`${STRINGS}|${REGEXES}`, "g");

/** The text with what stands in strings and regular expressions blanked, and every line where it was. */
export function withoutTexts(code: string): string {
  return code.replace(TEXT, (whole) => whole.replace(/[^\n]/g, " "));
}

/** One import of a file: `import`, `import type`, `export … from`, or `import()`. */
export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const FROM = /^(?:import|export)\s+(type\s+)?(?:[\w$*{][^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
/** What stands in a string or a regular expression is skipped: it may speak of imports and is none. */
const DYNAMIC = new RegExp(`\\bimport\\(\\s*["']([^"']+)["']\\s*\\)|${STRINGS}|${REGEXES}`, "g");

/** What a file imports. `import { type A }` alone is no type import: it still loads the file. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const fixed = [...code.matchAll(FROM)].map(([, type, specifier]) => ({
    specifier: specifier ?? "",
    typeOnly: type !== undefined,
  }));
  const late = [...code.matchAll(DYNAMIC)].flatMap(([, specifier]) =>
    specifier === undefined ? [] : [{ specifier, typeOnly: false }],
  );
  return [...fixed, ...late];
}
