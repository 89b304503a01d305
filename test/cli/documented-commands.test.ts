// Every `isha …` that the documents show is one the program takes, option by option; and no command goes unmentioned.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EXIT } from "../../cli/failure.ts";
import { ishaProgram } from "../../cli/isha.ts";
import { runHere, commandContext } from "./support/run-isha.ts";

const DOCUMENTS = ["README.md", "docs/operations.md"];

/** What stands for something that the reader fills in. */
const FILLED: Readonly<Record<string, string>> = {
  id: "3fA9kQ2mXw7b1",
  "request-id": `req_${"0".repeat(32)}`,
  file: "some.key",
  name: "somebody",
};

interface Shown {
  readonly where: string;
  readonly line: string;
}

/** Lines of shell examples, and code within sentences, that start with the command. */
function shownIn(document: string): Shown[] {
  const text = readFileSync(fileURLToPath(new URL(`../../${document}`, import.meta.url)), "utf8");
  const blocks = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap((match) => (match[1] ?? "").split("\n"));
  const prose = text.replace(/^```[^]*?^```/gm, "");
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
  return (
    [...blocks, ...spans]
      .map((line) => line.trim().replace(/^(?:[A-Z_]+=\S+ +)*(?:npx +)?/, ""))
      // `isha …` stands for any command of it.
      .filter((line) => /^isha [a-z-]/.test(line))
      .map((line) => ({ where: document, line }))
  );
}

/** The arguments, as a shell would split such a line: quotes, a comment, and what follows a pipe. */
function argumentsOf(line: string): string[] {
  const [command = ""] = line
    .replace(/<([a-z-]+)>/g, (_, name: string) => FILLED[name] ?? "?")
    .split(/ +(?:[|>#]|&&) ?/);
  const words = command.match(/"[^"]*"|\S+/g) ?? [];
  return words.slice(1).map((word) => word.replace(/^"(.*)"$/, "$1"));
}

const shown = DOCUMENTS.flatMap(shownIn);

/** Parses to the end, and gets no further: it is interrupted before anybody is asked. */
async function parse(argv: readonly string[]): Promise<{ code: number | null; said: string }> {
  // A key's file would be made, or be missing, before anybody is asked.
  const files = ["--save", "--from", "--key-file"];
  const dry = argv.filter((word, at) => !files.includes(word) && !files.includes(argv[at - 1] ?? ""));
  const { code, out, err } = await runHere(dry, {
    env: { ISHA_ADMIN_KEY: "dev-admin", ISHA_URL: "http://localhost:1" },
    signal: AbortSignal.abort(),
    ask: () => Promise.resolve("n"),
    putSecret: () => Promise.resolve(0),
  });
  return { code, said: out + err };
}

const program = ishaProgram(commandContext());

/** `keys create`, `usage`, …: all there are. */
function allCommands(): string[] {
  return program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((inner) => `${command.name()} ${inner.name()}`),
  );
}

describe("the documents", () => {
  it.each(shown)("$where: $line", async ({ line }) => {
    const { code, said } = await parse(argumentsOf(line));
    expect(said).not.toMatch(/unknown|invalid|Invalid|required/);
    expect([EXIT.done, EXIT.interrupted]).toContain(code);
  });

  it("show every command there is", () => {
    const lines = shown.map(({ line }) => line);
    const unshown = allCommands().filter((name) => !lines.some((line) => line.startsWith(`isha ${name}`)));
    expect(unshown).toEqual([]);
    expect(shown.length).toBeGreaterThan(20);
  });

  it("name no option that no command has", () => {
    const known = program.commands
      .flatMap((command) => [command, ...command.commands])
      .flatMap(({ options }) => options.map(({ long }) => long));
    const text = readFileSync(fileURLToPath(new URL("../../docs/operations.md", import.meta.url)), "utf8");
    const named = [...text.matchAll(/`(--[a-z-]+)/g)].map((match) => match[1]);
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
    expect(named.length).toBeGreaterThan(10);
  });

  it("a line with an option that isn't there is found out", async () => {
    expect((await parse(argumentsOf("isha keys create --name x --token-per-month 5M"))).code).toBe(
      EXIT.usage,
    );
    expect((await parse(argumentsOf('isha keys create --name "a b" --tokens-per-month 5X # so'))).code).toBe(
      EXIT.usage,
    );
    expect(argumentsOf('isha usage --csv --month 2026-10 > "a.csv"')).toEqual([
      "usage",
      "--csv",
      "--month",
      "2026-10",
    ]);
  });
});
