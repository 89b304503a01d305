// Reads the operators' documents: their shell commands, their links, their headings, and the paths that they name.
import { readSource } from "../../support/source-text.ts";

/** The documents that an operator follows. */
export const DOCUMENTS = [
  "docs/deploy.md",
  "docs/operations.md",
  "docs/monitoring/README.md",
  "SECURITY.md",
] as const;

export interface Command {
  readonly source: string;
  /** As the document has it, without a comment. */
  readonly line: string;
  /** Program and arguments, as a shell splits them; without what it is piped to. */
  readonly argv: readonly string[];
}

/** What the reader fills in. */
const PLACEHOLDER = /<([a-z][a-z-]*)>/g;

/** Programs whose commands in sentences are checked like those in blocks. */
const PROGRAMS = "isha|npm|npx|pm2|cloudflared|wrangler";
const IN_A_SENTENCE = new RegExp(`^(?:sudo )?(?:${PROGRAMS}) [a-z-]`);

/** Every command of a document: the lines of its shell blocks, and code in sentences that begins with a program. */
export function commandsIn(source: string, text = readSource(source)): Command[] {
  const blocks = [...text.matchAll(/^ *```sh\n([^]*?)^ *```/gm)].flatMap(([, block = ""]) =>
    block.split("\n"),
  );
  const spans = [...withoutBlocks(text).matchAll(/`([^`]+)`/g)]
    .map(([, code = ""]) => code.replaceAll("\n", " "))
    // `isha …` stands for any command.
    .filter((code) => IN_A_SENTENCE.test(code));
  return [...blocks, ...spans].flatMap((line) =>
    shellParts(line.trim()).map((argv) => ({ source, line: line.trim(), argv })),
  );
}

const withoutBlocks = (text: string): string => text.replace(/^ *```[^]*?^ *```/gm, "");

/** Splits a line at `&&`, `;` and pipes, outside quotes, into commands; without comments, redirections and variables. */
export function shellParts(line: string): string[][] {
  const words = [...line.replaceAll(PLACEHOLDER, "$1").matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(
    ([word]) => word,
  );
  const comment = words.findIndex((word) => word.startsWith("#"));
  const parts: string[][] = [[]];
  for (const word of comment === -1 ? words : words.slice(0, comment)) {
    if (["&&", "|", ";"].includes(word)) parts.push([]);
    else parts.at(-1)?.push(word.replace(/;$/, "").replaceAll(/^["']|["']$|(?<==)["']/g, ""));
    if (word.endsWith(";") && word !== ";") parts.push([]);
  }
  return parts.map(withoutRedirections).filter((argv) => argv.length > 0);
}

function withoutRedirections(words: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    if (/^(?:\d?>>?|<)$/.test(word)) at += 1;
    else if (!/^\d?>/.test(word)) kept.push(word);
  }
  const first = kept.findIndex((word) => !/^[A-Z_]+=/.test(word));
  return first === -1 ? [] : kept.slice(first);
}

/** `sudo`, `npx` and the like before a program. */
export function programOf(argv: readonly string[]): { readonly program: string; readonly args: string[] } {
  const [program = "", ...args] = argv;
  if (program === "sudo" || program === "npx") return programOf(args);
  return { program, args };
}

export interface Link {
  readonly source: string;
  readonly target: string;
}

export function linksIn(source: string): Link[] {
  const prose = withoutBlocks(readSource(source)).replaceAll(/`[^`\n]*`(?!\])/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => ({ source, target }));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsIn(text: string): Set<string> {
  return new Set(
    [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

const OURS =
  /^(?:docs|worker|origin-agent|cli|console|shared|scripts|test|bench|deploy)\/\S+$|^[\w.-]+\.(?:ts|toml|md|cjs|json)$/;

/** The project's files that a document names in code. */
export function pathsIn(source: string): string[] {
  const spans = [...withoutBlocks(readSource(source)).matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  return [...new Set(spans.filter((code) => OURS.test(code)))];
}
