// Checks command lines of programs that a test can't run: wrangler's and PM2's by their own `--help`, cloudflared's by a
// list from its source.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const run = promisify(execFile);

/** What a program's help says about one of its commands. */
interface Usage {
  readonly options: ReadonlySet<string>;
}

const helps = new Map<string, Promise<string>>();

async function help(program: "wrangler" | "pm2", command: readonly string[]): Promise<string> {
  const key = [program, ...command].join(" ");
  const known = helps.get(key) ?? readHelp(program, command);
  helps.set(key, known);
  return known;
}

async function readHelp(program: "wrangler" | "pm2", command: readonly string[]): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "isha-help-"));
  try {
    // PM2 would start its daemon first; so it is this process, which ends with the help.
    const args = [...(program === "pm2" ? ["--no-daemon"] : []), ...command, "--help"];
    const { stdout } = await run(join(ROOT, "node_modules/.bin", program), args, {
      cwd: ROOT,
      env: { ...process.env, PM2_HOME: home, WRANGLER_SEND_METRICS: "false", CI: "1", COLUMNS: "200" },
    });
    return stdout;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

const optionsOf = (text: string): Usage => ({
  options: new Set(
    [...text.matchAll(/^ +((?:-{1,2}[\w-]+(?: \S+)?,? *)+)/gm)].flatMap(
      ([, list = ""]) => list.match(/-{1,2}[a-z][\w-]*/gi) ?? [],
    ),
  ),
});

const isOption = (word: string): boolean => /^-{1,2}[a-z]/i.test(word);
const nameOf = (option: string): string => option.replace(/=.*/, "");

function unknownOptions(args: readonly string[], { options }: Usage, command: string): string[] {
  return args
    .filter((word) => isOption(word) && !options.has(nameOf(word)))
    .map((word) => `${command} has no ${nameOf(word)}`);
}

/** @returns what is wrong with the arguments; nothing if wrangler's help knows them all */
export async function wranglerFaults(args: readonly string[]): Promise<string[]> {
  const [first = "", second = ""] = args;
  const top = await help("wrangler", []);
  if (!new RegExp(`^ +wrangler ${first}\\b`, "m").test(top)) return [`wrangler has no command ${first}`];
  const group = await help("wrangler", [first]);
  const isGroup = new RegExp(`^ +wrangler ${first} \\w`, "m").test(group);
  if (isGroup && !new RegExp(`^ +wrangler ${first} ${second}\\b`, "m").test(group))
    return [`wrangler ${first} has no command ${second}`];
  const command = isGroup ? [first, second] : [first];
  const text = isGroup ? await help("wrangler", command) : group;
  const places = [...(text.split("\n")[0] ?? "").matchAll(/[<[][\w-]+(?:\.\.)?[>\]]/g)].length;
  const given = args.slice(command.length).filter((word, at, all) => {
    const before = all[at - 1] ?? "";
    return !isOption(word) && (!isOption(before) || before.includes("=") || isSwitch(text, before));
  });
  const tooMany =
    given.length > places ? [`wrangler ${command.join(" ")} doesn't take ${given.join(" ")}`] : [];
  return [...unknownOptions(args, optionsOf(text), `wrangler ${command.join(" ")}`), ...tooMany];
}

const isSwitch = (text: string, option: string): boolean =>
  new RegExp(`${option}\\b[^\\n]*\\[boolean\\]`).test(text);

/** @returns what is wrong with the arguments; nothing if PM2's help knows them all */
export async function pm2Faults(args: readonly string[]): Promise<string[]> {
  const [first = ""] = args;
  const top = await help("pm2", []);
  const commands = new Set(
    [...(top.split("Commands:")[1] ?? "").matchAll(/^ {4}([\w:|]+)/gm)].flatMap(([, names = ""]) =>
      names.split("|"),
    ),
  );
  if (!commands.has(first)) return [`pm2 has no command ${first}`];
  // PM2 takes its general options after a command too.
  const own = optionsOf(await help("pm2", [first])).options;
  const general = optionsOf(top.split("Commands:")[0] ?? "").options;
  return unknownOptions(args, { options: new Set([...own, ...general]) }, `pm2 ${first}`);
}

/**
 * Commands and options of cloudflared 2026.8.2 (commit d1df798), by the files that define them: `cmd/cloudflared/main.go` (version),
 * `linux_service.go` (service), and in `tunnel/`: `login.go`, `subcommands.go` (create, list, info, route dns, delete),
 * `ingress_subcommands.go`, `cmd.go` (`--config` and `--grace-period` of `tunnel`, `--no-autoupdate`). None of them ran here.
 */
const CLOUDFLARED: Readonly<Record<string, { readonly args: number; readonly options?: readonly string[] }>> =
  {
    version: { args: 0 },
    "service install": { args: 1 },
    "service uninstall": { args: 0 },
    "tunnel login": { args: 0 },
    "tunnel create": { args: 1, options: ["--credentials-file"] },
    "tunnel list": { args: 0 },
    "tunnel info": { args: 1 },
    "tunnel delete": { args: 1 },
    "tunnel route dns": { args: 2, options: ["--overwrite-dns"] },
    "tunnel ingress validate": { args: 0 },
    "tunnel ingress rule": { args: 1 },
    "tunnel run": { args: 1 },
  };

/** Options of `cloudflared tunnel`, which take a value and come before the subcommand. */
const TUNNEL_OPTIONS = ["--config", "--grace-period"];

export function cloudflaredFaults(args: readonly string[]): string[] {
  const words = args.filter(
    (word, at) => !TUNNEL_OPTIONS.includes(word) && !TUNNEL_OPTIONS.includes(args[at - 1] ?? ""),
  );
  const name = Object.keys(CLOUDFLARED)
    .toSorted((a, b) => b.length - a.length)
    .find((command) => `${words.join(" ")} `.startsWith(`${command} `));
  const known = name === undefined ? undefined : CLOUDFLARED[name];
  if (name === undefined || known === undefined) return [`cloudflared has no ${words.join(" ")}`];
  const rest = words.slice(name.split(" ").length);
  const unknown = rest.filter((word) => isOption(word) && known.options?.includes(nameOf(word)) !== true);
  const places = rest.filter((word) => !isOption(word)).length;
  return [
    ...unknown.map((word) => `cloudflared ${name} has no ${word}`),
    ...(places > known.args ? [`cloudflared ${name} takes ${known.args} arguments`] : []),
  ];
}
