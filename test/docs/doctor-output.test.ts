// Holds the outputs that docs/deploy.md prints to the programs: the lines of `isha doctor`, `isha check` and `isha secrets
// init` are those that the checks return, laid out as on a terminal.
import { describe, expect, it } from "vitest";
import shipped from "../../fleet.config.ts";
import { projectChecks } from "../../cli/check/checks.ts";
import { BOX_CHECKS } from "../../cli/doctor/box-checks.ts";
import type { Result, Verdict } from "../../cli/doctor/check.ts";
import { EDGE_CHECKS } from "../../cli/doctor/edge-checks.ts";
import { PM2_CHECKS } from "../../cli/doctor/pm2-checks.ts";
import { SERVER_CHECKS } from "../../cli/doctor/server-checks.ts";
import { tunnelChecks } from "../../cli/doctor/tunnel-checks.ts";
import { SECRET_FILES } from "../../cli/secrets/secret-files.ts";
import { doctorText } from "../../cli/terminal/doctor-text.ts";
import { readSource, sourceFiles } from "../support/source-text.ts";

const text = readSource("docs/deploy.md");
const blocks = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].flatMap(([, language, block = ""]) =>
  language === "" ? [block] : [],
);

function blockWith(line: string): string {
  const found = blocks.filter((block) => block.includes(line));
  expect(found, line).toHaveLength(1);
  return found[0] ?? "";
}

const VERDICTS: Readonly<Record<string, Verdict>> = { WRONG: "wrong", "?": "unknown", fine: "fine" };

/** The results that a printed output stands for. */
function resultsIn(block: string): Result[] {
  const results: Result[] = [];
  for (const line of block.split("\n")) {
    const [, mark = "", check = "", what = ""] = /^(WRONG|\?|fine) +([a-z0-9-]+) +(.+)$/.exec(line) ?? [];
    const fix = /^ +→ (.+)$/.exec(line)?.[1];
    const last = results.at(-1);
    const verdict = VERDICTS[mark];
    if (verdict !== undefined) results.push({ check, verdict, text: what });
    else if (fix !== undefined && last !== undefined) results[results.length - 1] = { ...last, fix };
  }
  return results;
}

const PLACEHOLDER = /\$\{(?:[^{}]|\{[^{}]*\})*\}/;

/** Every text that a check returns, as a pattern: its placeholders match anything. */
const RETURNED = [...sourceFiles(["cli/doctor/*.ts", "cli/check/*.ts"]).values()].flatMap((source) =>
  [...source.matchAll(/"((?:[^"\\\n]|\\.)+)"|`((?:[^`\\]|\\.)+)`/g)]
    .map(([, plain, template]) => (plain ?? template ?? "").split(PLACEHOLDER))
    // Of `${name} is ${status}` too little is fixed.
    .filter((parts) => parts.join("").length >= 10)
    .map(
      (parts) =>
        new RegExp(
          `^${parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join(".+")}$`,
        ),
    ),
);

describe.each([
  [
    "isha doctor",
    "log-canary",
    [...EDGE_CHECKS, ...tunnelChecks(shipped), ...BOX_CHECKS, ...PM2_CHECKS, ...SERVER_CHECKS].map(
      ({ name }) => name,
    ),
  ],
  [
    "isha check",
    "generated-files",
    projectChecks({ environments: new Map() } as unknown as Parameters<typeof projectChecks>[0]).map(
      ({ name }) => name,
    ),
  ],
])("the printed output of %s", (_name, line, checks) => {
  const block = blockWith(line);
  const results = resultsIn(block);

  it("has a line for every check", () => {
    expect(results.map(({ check }) => check).toSorted((a, b) => a.localeCompare(b))).toEqual(
      checks.toSorted((a, b) => a.localeCompare(b)),
    );
  });

  it("is laid out as on a terminal", () => {
    expect(block).toBe(doctorText(results, { colours: false }));
  });

  it.each(results)("has for $check a text that the check returns", ({ text: what }) => {
    expect(
      RETURNED.some((pattern) => pattern.test(what)),
      what,
    ).toBe(true);
  });
});

describe("the printed output of isha secrets init", () => {
  it("names every file", () => {
    const names = [...blockWith("created").matchAll(/^ {2}(\S+) +created$/gm)].map(([, name]) => name);
    expect(names).toEqual(Object.values(SECRET_FILES));
  });
});

it("a text that no check returns is found", () => {
  for (const what of ["the agent is in good health", "plain http is accepted"])
    expect(
      RETURNED.some((pattern) => pattern.test(what)),
      what,
    ).toBe(false);
});
