// `ecosystem.config.cjs`, from which PM2 runs a box: its llama-servers and its agent. One pure function makes its
// text; run as a program, this prints it:
//
//   node cli/generate/ecosystem.ts [BOX] [--ask-binary] > ecosystem.config.cjs
import { execFileSync } from "node:child_process";
import type { Box, Server } from "../../shared/fleet.ts";
import { CALL_DEADLINE_MS } from "../../shared/limits.ts";
import { flagsInHelp, llamaFlags } from "./llama-flags.ts";

/** Simulated llama-servers in place of the box's: in development and tests. */
export interface SimulatedServers {
  /** The program that stands in for llama-server, and its first arguments. */
  readonly command: readonly [string, ...string[]];
  /** Where each of the fleet file's ports is to listen. */
  readonly ports: ReadonlyMap<number, number>;
  /** Further arguments of one of them. */
  readonly extra?: (server: Server) => readonly string[];
}

export interface EcosystemOptions {
  /** Every flag that the box's llama-server knows (`flagsInHelp`); not looked at where it isn't given. */
  readonly knownFlags?: ReadonlySet<string>;
  readonly simulated?: SimulatedServers;
  /** Where this project stands, if not where the file does. */
  readonly root?: string;
  /** The fleet file, if not the project's own. */
  readonly fleetFile?: string;
  /** Further environment of the agent. Nothing secret: the file is readable. */
  readonly agentEnv?: Readonly<Record<string, string>>;
}

/** Longer than any call may take: a reload cuts none. */
export const AGENT_KILL_TIMEOUT_MS = CALL_DEADLINE_MS + 10_000;

/** How long PM2 keeps the old agent while the new one says nothing; after that it ends the old one regardless. */
const AGENT_READY_TIMEOUT_MS = 60_000;

/** A llama-server that was told to end goes silent at once; this is for giving the GPU's memory back. */
const SERVER_KILL_TIMEOUT_MS = 5_000;

/** First pause before a restart; PM2 makes each half as long again, up to 15 s, and begins anew after 30 s of running. */
const RESTART_DELAY_MS = 100;

/**
 * PM2 gives up on an app that ended within its first second this often within as many seconds of its first start; with
 * the pauses above that is never reached. A server whose driver is being mended must come back by itself.
 */
const MAX_RESTARTS = 1_000;

/**
 * Most that V8 keeps for what has just been made, megabytes. Its own 16 are held for good once a burst of streams has
 * filled them: at 1,000 streams that is 60 MB more. The price is a tenth of a call's CPU time.
 */
const AGENT_YOUNG_MB = 2;

/** Gives back to the system what V8's compilers and collectors, each a thread, borrow for a moment, some 20 MB. */
const AGENT_MALLOC = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: String(256 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(1024 * 1024),
};

/** The text of a box's `ecosystem.config.cjs`. */
export function ecosystemText(box: Box, options: EcosystemOptions = {}): string {
  const apps = [agentApp(box, options), ...box.servers.map((server) => serverApp(box, server, options))];
  return `// Made by \`node cli/generate/ecosystem.ts ${box.name} > ecosystem.config.cjs\`; change the fleet file instead.
// What PM2 runs on ${box.name}. Started by Node 24 or later, as the user ${box.user}: \`pm2 start ecosystem.config.cjs\`.
const { statSync } = require("node:fs");
const { homedir } = require("node:os");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");

const root = ${options.root === undefined ? "__dirname" : JSON.stringify(options.root)};
const secrets = process.env.ISHA_SECRETS ?? join(homedir(), ".isha");

// The daemon runs the agent in its own Node.
if (Number(process.versions.node.split(".")[0]) < 24) {
  throw new Error(\`PM2 must be started by Node 24 or later; this is \${process.version}\`);
}

/** The path of a file of secrets: never its content, which would stand in PM2's listing for anyone to read. */
function secretFile(name) {
  const path = join(secrets, name);
  const file = statSync(path, { throwIfNoEntry: false });
  if (file === undefined) throw new Error(\`\${path} isn't there: \\\`isha secrets init\\\` makes it\`);
  if ((file.mode & 0o077) !== 0) throw new Error(\`\${path} can be read by others: chmod 600 \${path}\`);
  return path;
}

/** What makes Node read such a file when it starts. */
function environmentFile(name) {
  const loader = pathToFileURL(join(root, "origin-agent/env-file.ts"));
  loader.searchParams.set("file", secretFile(name));
  return loader.href;
}

// Nothing else of the shell that happens to start PM2 reaches the programs, above all no secret of its own.
const passed = ${array(INHERITED.map(quoted), 15, 0)};
const environment = Object.fromEntries(
  passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
);

const common = {
  cwd: root,
  instances: 1,
  autorestart: true,
  exp_backoff_restart_delay: ${RESTART_DELAY_MS},
  max_restarts: ${MAX_RESTARTS},
  watch: false,
  merge_logs: true,
  filter_env: [""],
  pmx: false,
  vizion: false,
};

module.exports = {
  apps: [
${apps.map((app) => `${object(app, 4)},`).join("\n")}
  ],
};
`;
}

/** What a program needs of the machine it runs on. */
const INHERITED =
  "PATH HOME USER LOGNAME LANG LC_ALL TZ TMPDIR PM2_HOME LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER".split(
    " ",
  );

/** A piece of the file: JavaScript as it is to stand there, a list of such pieces, or names with pieces. */
type Piece = string | readonly Piece[] | { readonly [name: string]: Piece };

/** An entry of the file's list of apps. `...` names what is spread into it. */
type App = { readonly [name: string]: Piece };

function agentApp(box: Box, options: EcosystemOptions): App {
  const { simulated, fleetFile, agentEnv = {} } = options;
  const ports = simulated === undefined ? [] : [...simulated.ports];
  const env: Record<string, string> = {
    NODE_ENV: "production",
    ISHA_BOX: box.name,
    ...(fleetFile === undefined ? {} : { ISHA_FLEET: fleetFile }),
    ...(simulated === undefined
      ? {}
      : {
          UPSTREAM_PORTS: JSON.stringify(Object.fromEntries(ports)),
          SIMULATED_PORTS: ports.map(([port]) => port).join(","),
        }),
    ...agentEnv,
  };
  return {
    "...": "common",
    name: quoted("isha-agent"),
    script: 'join(root, "origin-agent/main.ts")',
    interpreter: quoted("node"),
    // A reload starts the new one beside the old one, on the same port.
    exec_mode: quoted("cluster"),
    node_args: [
      '`--import=${environmentFile("agent.env")}`',
      quoted(`--max-semi-space-size=${AGENT_YOUNG_MB}`),
    ],
    wait_ready: "true",
    listen_timeout: String(AGENT_READY_TIMEOUT_MS),
    kill_timeout: String(AGENT_KILL_TIMEOUT_MS),
    // Its nvidia-smi goes on while it drains.
    treekill: "false",
    env: {
      "...": "environment",
      ...mapped({ ...AGENT_MALLOC, ...env }, quoted),
      // What strips types from sources is 17 MB, and isn't loaded where they are found compiled.
      NODE_COMPILE_CACHE: 'join(root, "node_modules/.cache/agent")',
    },
  };
}

function serverApp(box: Box, server: Server, options: EcosystemOptions): App {
  const { simulated, knownFlags } = options;
  const port = simulated?.ports.get(server.port) ?? server.port;
  const flags = llamaFlags(box, server, { port, knownFlags, apiKeyFile: KEY_FILE });
  const command = simulated === undefined ? [box.llamaServerBin] : simulated.command;
  const extra = simulated?.extra?.(server) ?? [];
  return {
    "...": "common",
    name: quoted(server.pm2),
    script: 'join(root, "origin-agent/llama-log/launch-llama.sh")',
    interpreter: quoted("bash"),
    exec_mode: quoted("fork"),
    args: [
      quoted(String(port)),
      ...command.map(quoted),
      ...flags.flat().map((word) => (word === KEY_FILE ? 'secretFile("llama-api-key")' : quoted(word))),
      ...extra.map(quoted),
    ],
    kill_timeout: String(SERVER_KILL_TIMEOUT_MS),
    log_date_format: quoted("YYYY-MM-DDTHH:mm:ss.SSSZ"),
    env: {
      "...": "environment",
      ISHA_NODE: 'join(root, "node_modules/node/bin/node")',
      ISHA_GPU_CHECK: quoted(simulated === undefined ? "nvidia-smi -L" : ""),
    },
  };
}

/** Stands for the key file's path, which only the machine knows, until the text is made. */
const KEY_FILE = "\0llama-api-key";

/** Widest line of the file: it is checked by the project's formatter like any other. */
const WIDTH = 110;

function object(members: App, indent: number, lead = " ".repeat(indent)): string {
  const inner = " ".repeat(indent + 2);
  const lines = Object.entries(members).map(([name, piece]) => {
    if (name === "..." && typeof piece === "string") return `${inner}...${piece},`;
    return `${inner}${name}: ${value(piece, indent + 2, name.length + 2)},`;
  });
  return `${lead}{\n${lines.join("\n")}\n${" ".repeat(indent)}}`;
}

/** @param before how much of its first line is taken */
function value(piece: Piece, indent: number, before: number): string {
  if (typeof piece === "string") return piece;
  if (Array.isArray(piece)) return array(piece as readonly string[], before, indent);
  return object(piece as App, indent, "");
}

function array(pieces: readonly string[], before: number, indent: number): string {
  const line = `[${pieces.join(", ")}]`;
  if (indent + before + line.length + 1 <= WIDTH) return line;
  const inner = " ".repeat(indent + 2);
  return `[\n${pieces.map((piece) => `${inner}${piece},`).join("\n")}\n${" ".repeat(indent)}]`;
}

/** As the formatter writes it: single quotes only where that saves backslashes. */
function quoted(text: string): string {
  const double = JSON.stringify(text);
  const plain = !text.includes("'") && !double.replaceAll('\\"', "").includes("\\");
  return text.includes('"') && plain ? `'${text}'` : double;
}

const mapped = <T, U>(members: Readonly<Record<string, T>>, change: (member: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(members).map(([name, member]) => [name, change(member)]));

if (import.meta.main) {
  const { default: fleet } = await import("../../fleet.config.ts");
  const args = process.argv.slice(2);
  const names = args.filter((arg) => !arg.startsWith("--"));
  const box = names.length === 0 ? fleet.boxes[0] : fleet.boxes.find(({ name }) => name === names[0]);
  if (
    box === undefined ||
    names.length > 1 ||
    args.some((arg) => arg.startsWith("--") && arg !== "--ask-binary")
  ) {
    const boxes = fleet.boxes.map(({ name }) => name).join(", ");
    console.error(`usage: node cli/generate/ecosystem.ts [BOX] [--ask-binary]\nBOX is one of: ${boxes}`);
    process.exitCode = 2;
  } else if (args.includes("--ask-binary")) {
    const help = execFileSync(box.llamaServerBin, ["--help"], { encoding: "utf8" });
    process.stdout.write(ecosystemText(box, { knownFlags: flagsInHelp(help) }));
  } else {
    process.stdout.write(ecosystemText(box));
  }
}
