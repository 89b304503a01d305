// The examples in the help of every command, which test runs them, and the first line that each prints. A new example has
// to be entered here.
import { ishaProgram } from "../../../cli/isha.ts";
import { commandContext, runHere, type Ran } from "./run-isha.ts";

/**
 * - `edge`: test/e2e/edge/isha.test.ts, on the whole stack.
 * - `box`: test/e2e/fleet/restart.test.ts, on a box under the real PM2.
 * - `alarms`: test/e2e/fleet/alarms.test.ts, with a receiver of alarms.
 * - `clone`: test/cli/help-examples.test.ts, in a copy of the clone, since they write its files, call Cloudflare (there a
 *   program in wrangler's place) or examine the machine. `npm run rehearse` runs those of a box on a real tree.
 */
type Place = "edge" | "box" | "alarms" | "clone";

interface Example {
  readonly line: string;
  /** The first line of its output. */
  readonly first: RegExp;
  /** Its exit code (default: 0): `isha doctor` ends with 1 on a machine without a deployment. */
  readonly code: number;
}

const EXAMPLES: Readonly<Record<Place, readonly (readonly [line: string, first: RegExp, code?: number])[]>> =
  {
    edge: [
      [
        'keys create --name "Riverside Clinic" --agents Clinical,AIDoctor --tokens-per-month 5M',
        /^Made the key “/,
      ],
      ["keys create --name backend --per-second 500 --concurrent 8 --address-exempt", /^Made the key “/],
      ["keys create --name ops --scopes infer,admin --expires 2030-01-31 --save ops.key", /^Made the key “/],
      ["keys list", /^ID +NAME +/],
      ["keys list --state active --all", /^ID +NAME +/],
      ["keys list --all --json | jq -r '.keys[].id'", /^\{$/],
      ["keys show 3fA9kQ2mXw7b", /^id +[0-9A-Za-z]{12}$/],
      ["keys change 3fA9kQ2mXw7b --tokens-per-month 10M --concurrent 4", /^Changed\. The key now:$/],
      [
        "keys change 3fA9kQ2mXw7b --agents all --tokens-per-month none --expires none",
        /^Changed\. The key now:$/,
      ],
      ["keys revoke 3fA9kQ2mXw7b", /^Revoked [0-9A-Za-z]{12} \(“example”\)\./],
      ["keys revoke 3fA9kQ2mXw7b --yes", /^Revoked [0-9A-Za-z]{12} \(“example”\)\./],
      ["keys rotate 3fA9kQ2mXw7b", /^The key “example” has a new secret\.$/],
      ["keys rotate 3fA9kQ2mXw7b --grace 7d --save clinic.key", /^The key “example” has a new secret\.$/],
      ["keys rotate 3fA9kQ2mXw7b --grace 0", /^The key “example” has a new secret\.$/],
      ["usage", /^\d{4}-\d\d-\d\d .* UTC to /],
      ["usage --last 7d --by model", /^\d{4}-\d\d-\d\d .* UTC to /],
      [
        "usage --key 3fA9kQ2mXw7b --from 2026-11-01 --to 2026-11-08 --by day",
        /^2026-11-01 .* to 2026-11-08 .*, key [0-9A-Za-z]{12}$/,
      ],
      ["usage --month 2026-10 --csv > october.csv", /^key,calls,/],
      ["audit", /^WHEN +BY +WHAT +TARGET +DETAIL$/],
      ["audit --target 3fA9kQ2mXw7b --all", /^WHEN +BY +WHAT +TARGET +DETAIL$/],
      ["audit --target box1:8085", /^There are no entries yet\.$/],
      ["why req_0f8e2c54a9d04b7d8a51f0c2b1e6d3a7", /^403 agent_not_allowed$/],
      ["status", /^BOX +IS +PORT +MODEL /],
      ["status --json | jq '.alarms'", /^\{$/],
      ["smoke", /^ok +models /],
      ["smoke --url http://localhost:8787", /^ok +models /],
      ["box drain box1", /^box1 takes no new calls; /],
      ["box drain box1 --yes", /^box1 takes no new calls; /],
      ["box resume box1", /^box1 takes calls again\./],
    ],
    box: [
      ["box restart box1 8085", /^restarted, ready after /],
      ["box restart box1 8085 --yes", /^restarted, ready after /],
    ],
    alarms: [["alerts test", /^The receiver at ALERT_WEBHOOK_URL accepted the test message/]],
    clone: [
      ["keys bootstrap", /^The first admin key$/],
      ["keys bootstrap --put --save", /^The first admin key$/],
      ["keys bootstrap --save first.key", /^The first admin key$/],
      ["keys bootstrap --put --from first.key", /^The first admin key$/],
      ["secrets init", /^Secrets in .*\/\.isha$/],
      ["secrets init --folder ~/.isha-staging", /^Secrets in .*\/\.isha-staging$/],
      ["plan", /^box1: /],
      ["plan --box box1 --models /srv/models", /^box1: /],
      ["generate", /^unchanged +.*\/ecosystem\.config\.cjs$/],
      ["generate --diff", /^All \d files for box1 are current\.$/],
      ["generate --box box1 --out box1-files", /^written +.*\/box1-files\/ecosystem\.config\.cjs$/],
      ["check", /^fine +fleet-file +is valid: /],
      ["check --online", /^WRONG +edge +.* is not answered by the edge/, 1],
      ["check --json | jq '.[].check'", /^\[$/],
      ["deploy", /^Deployed production: version /],
      [
        "deploy --env staging --secrets-file ~/.isha-staging/worker-secrets.json",
        /^Deployed staging: version /,
      ],
      ["doctor", /^WRONG +edge +.* is not answered by the edge/, 1],
      ["doctor --box box1", /^WRONG +edge +.* is not answered by the edge/, 1],
      ["doctor --json | jq '.[].check'", /^\[$/, 1],
      ["report", /^Wrote .*\/isha-report-[-\d]+\.json\./],
      ["report --box box1 --out report.json", /^Wrote .*\/report\.json\./],
      ["secrets rotate box-secret", /^Next, in this order:$/],
      ["secrets rotate box-secret --finish", /^Next, in any order:$/],
      ["secrets rotate llama-api-key", /^Next:$/],
      ["init --force", /^Wrote .*\/fleet\.config\.ts\.$/],
      ["init --import llama-swap.yaml --out fleet.config.ts --force", /^Wrote .*\/fleet\.config\.ts\.$/],
    ],
  };

export const examplesOf = (place: Place): Example[] =>
  EXAMPLES[place].map(([line, first, code = 0]) => ({ line, first, code }));

export const knownExamples = (): string[] =>
  Object.values(EXAMPLES).flatMap((examples) => examples.map(([line]) => line));

/** The examples as the help prints them, without `npm run -s isha --`. */
export async function printedExamples(): Promise<string[]> {
  const lines: string[] = [];
  for (const command of ishaProgram(commandContext()).commands) {
    const names = command.commands.map((inner) => `${command.name()} ${inner.name()}`);
    for (const name of names.length === 0 ? [command.name()] : names) {
      const { out } = await runHere([...name.split(" "), "--help"]);
      lines.push(...[...out.matchAll(/^ {2}\$ npm run -s isha -- (.*)$/gm)].map(([, line = ""]) => line));
    }
  }
  return lines;
}

/** Splits a line as a shell does, up to a pipe, a redirection or a comment. */
export function argumentsOf(line: string, home = "/nonexistent"): string[] {
  const [command = ""] = line.split(/ +(?:[|>#]|&&) ?/);
  return (command.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
    word.replace(/^(["'])(.*)\1$/, "$2").replace(/^~(?=\/)/, home),
  );
}

/** The first line with text; of stderr if there is nothing on stdout. */
export const firstLine = ({ out, err }: Pick<Ran, "out" | "err">): string =>
  (out === "" ? err : out).trimStart().split("\n", 1)[0] ?? "";
