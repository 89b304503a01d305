// Every `isha …` in the documents and in the command's own help is valid, option by option; every command is documented.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { EXIT } from "../../cli/failure.ts";
import { ishaProgram } from "../../cli/isha.ts";
import { runHere, commandContext } from "./support/run-isha.ts";

const DOCUMENTS = ["README.md", "docs/operations.md", "docs/deploy.md", "SECURITY.md"];

/** Values for the placeholders that the reader fills in. */
const VALUES: Readonly<Record<string, string>> = {
  id: "3fA9kQ2mXw7b1",
  "request-id": `req_${"0".repeat(32)}`,
  file: "some.key",
  name: "clinic",
  account: "ana",
};

interface Example {
  readonly source: string;
  readonly line: string;
}

/** Lines of shell examples, and code in sentences, that start with the command. */
function examplesIn(document: string): Example[] {
  const text = readFileSync(fileURLToPath(new URL(`../../${document}`, import.meta.url)), "utf8");
  const blocks = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].flatMap((match) => (match[1] ?? "").split("\n"));
  const prose = text.replace(/^```[^]*?^```/gm, "");
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
  return (
    [...blocks, ...spans]
      .map((line) =>
        line
          .trim()
          .replace(/^(?:[A-Z_]+=\S+ +)+/, "")
          .replace(/^npm run (?:-s )?isha --(?= )/, "isha"),
      )
      // `isha …` stands for any command.
      .filter((line) => /^isha [a-z-]/.test(line))
      .map((line) => ({ source: document, line }))
  );
}

/** Splits a line into arguments as a shell does: quotes; without a comment or what follows a pipe. */
function argumentsOf(line: string): string[] {
  const [command = ""] = line
    .replace(/<([a-z-]+)>/g, (_, name: string) => VALUES[name] ?? "?")
    .split(/ +(?:[|>#]|&&) ?/);
  const words = command.match(/"[^"]*"|\S+/g) ?? [];
  return words.slice(1).map((word) => word.replace(/^"(.*)"$/, "$1"));
}

const examples = DOCUMENTS.flatMap(examplesIn);

/** Parses the command line; the command is interrupted before it sends a request. */
async function parse(argv: readonly string[]): Promise<{ code: number | null; output: string }> {
  // Key files would be created, or be missing, before the first request.
  const files = ["--save", "--from", "--key-file"];
  const dry = argv.filter((word, at) => !files.includes(word) && !files.includes(argv[at - 1] ?? ""));
  const { code, out, err } = await runHere(dry, {
    env: { ISHA_ADMIN_KEY: "dev-admin", ISHA_URL: "http://localhost:1" },
    signal: AbortSignal.abort(),
    ask: () => Promise.resolve("n"),
    putSecret: () => Promise.resolve(0),
  });
  return { code, output: out + err };
}

const program = ishaProgram(commandContext());

/** All commands: `keys create`, `usage`, … */
function allCommands(): string[] {
  return program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((inner) => `${command.name()} ${inner.name()}`),
  );
}

async function expectValid(line: string): Promise<void> {
  const { code, output } = await parse(argumentsOf(line));
  expect(output).not.toMatch(/unknown|invalid|Invalid|required/);
  expect([EXIT.done, EXIT.interrupted]).toContain(code);
}

describe("the help of", () => {
  it.each(allCommands())("%s has examples that work in a clone as printed", async (name) => {
    const { out } = await runHere([...name.split(" "), "--help"]);
    const lines = [...out.matchAll(/^ {2}\$ (.*)$/gm)].map(([, line = ""]) => line);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      expect(line).toMatch(new RegExp(`^npm run -s isha -- ${name}\\b`));
      await expectValid(line.replace(/^npm run -s isha --/, "isha"));
    }
  });
});

describe("the documents", () => {
  it.each(examples)("$source: $line", async ({ line }) => {
    await expectValid(line);
  });

  it("show every command", () => {
    const lines = examples.map(({ line }) => line);
    const missing = allCommands().filter((name) => !lines.some((line) => line.startsWith(`isha ${name}`)));
    expect(missing).toEqual([]);
    expect(examples.length).toBeGreaterThan(20);
  });

  it("name only options that exist", () => {
    const known = program.commands
      .flatMap((command) => [command, ...command.commands])
      .flatMap(({ options }) => options.map(({ long }) => long));
    const text = readFileSync(fileURLToPath(new URL("../../docs/operations.md", import.meta.url)), "utf8");
    const named = [...text.matchAll(/`(--[a-z-]+)/g)].map((match) => match[1]);
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
    expect(named.length).toBeGreaterThan(10);
  });

  it("the check finds an unknown option", async () => {
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
