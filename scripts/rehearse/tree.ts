// Makes the folder tree that stands in for a bare box: a home, a clone of the project, models, and on its PATH every
// program of this machine except the ones that a box gets later or that would reach this machine's own services.
import { execFile } from "node:child_process";
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { promisify } from "node:util";
import { PROJECT_NODE, ROOT } from "../paths.ts";
import { freePort } from "../stack/ports.ts";
import { guardFolder } from "../stack/program.ts";
import { MODELS, type Ports } from "./fleet.ts";

export interface Tree {
  readonly folder: string;
  readonly home: string;
  /** Folder of the tree's own programs, the only one on its PATH. */
  readonly bin: string;
  /** The project's folder on the box. */
  readonly clone: string;
  readonly models: string;
  /** JSON that the simulated nvidia-smi reads for each report. */
  readonly gpuFile: string;
  /** Each server's process, in a file named by its port. */
  readonly loaded: string;
  /** A file here makes a server fail at its next start; see `LLAMA_SERVER`. */
  readonly faults: string;
  readonly ports: Ports;
  readonly agentUrl: string;
  readonly edgeUrl: string;
  /** The environment of a login shell on the box. */
  readonly env: Readonly<Record<string, string>>;
}

/** What a server's cache and context take of the card. */
const CACHE_MIB = 600;

const run = promisify(execFile);

/** systemd is this machine's; the others are the tree's own. */
const HIDDEN = new Set([
  "systemctl",
  "nvidia-smi",
  "node",
  "pm2",
  "isha",
  "npm",
  "npx",
  "wrangler",
  "cloudflared",
]);

/** What isn't part of a fresh clone. */
const NOT_CLONED = new Set(["node_modules", ".git", ".wrangler", "dist", "deploy"]);

export async function makeTree(): Promise<Tree> {
  const folder = await mkdtemp(join(tmpdir(), "isha-box-"));
  guardFolder(folder);
  const at = (path: string): string => join(folder, path);
  const [agent, edge, ...servers] = await Promise.all([0, 1, ...MODELS].map(() => freePort()));
  if (agent === undefined || edge === undefined) throw new Error("there is no free port");
  const home = at("home/isha");
  const bin = at("bin");
  const clone = at("srv/isha");
  const models = at("srv/models");
  const faults = at("faults");
  const loaded = at("loaded");
  for (const path of [home, bin, models, faults, loaded]) await mkdir(path, { recursive: true });
  const tree: Tree = {
    folder,
    home,
    bin,
    clone,
    models,
    faults,
    loaded,
    gpuFile: at("gpu.json"),
    ports: { agent, edge, servers },
    agentUrl: `http://127.0.0.1:${agent}`,
    edgeUrl: `http://127.0.0.1:${edge}`,
    env: {
      PATH: bin,
      HOME: home,
      LANG: "C.UTF-8",
      NO_COLOR: "1",
      // A real box needs neither: its edge has the fleet file's domain, its agent port 8000.
      ISHA_URL: `http://127.0.0.1:${edge}`,
      AGENT_PORT: String(agent),
      // Otherwise PM2 would look for a newer version on the internet.
      PM2_DISABLE_VERSION_CHECK: "true",
    },
  };
  await linkPrograms(bin);
  await writePrograms(tree);
  await cp(ROOT, clone, {
    recursive: true,
    filter: (path) => path === ROOT || !NOT_CLONED.has(basename(path)),
  });
  // As `npm ci` would install them.
  await symlink(join(ROOT, "node_modules"), join(clone, "node_modules"));
  await rm(join(clone, "ecosystem.config.cjs"), { force: true });
  await setGpu(tree, {});
  return tree;
}

/** The models' files, as a download would leave them: headers in files of their whole size that take no room. */
export async function writeModels({ models }: Tree): Promise<void> {
  for (const { file, weightsGib } of MODELS)
    await run(PROJECT_NODE, [join(ROOT, "test/sim/gguf.ts"), join(models, file), String(weightsGib)]);
}

/** @param gpu what differs from an idle RTX 3090 */
export async function setGpu({ gpuFile }: Tree, gpu: object): Promise<void> {
  await writeFile(`${gpuFile}.new`, JSON.stringify({ gpus: [{ persistenceMode: true, ...gpu }] }));
  await rename(`${gpuFile}.new`, gpuFile);
}

async function linkPrograms(bin: string): Promise<void> {
  const linked = new Set(HIDDEN);
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (linked.has(name)) continue;
      linked.add(name);
      await symlink(join(folder, name), join(bin, name));
    }
  }
}

async function writePrograms(tree: Tree): Promise<void> {
  const { bin, clone, folder } = tree;
  if ((await lstat(join(bin, "ps")).catch(() => null)) === null) await program(join(bin, "ps"), PS);
  await symlink(PROJECT_NODE, join(bin, "node"));
  await program(
    join(bin, "pm2"),
    `exec ${quoted(PROJECT_NODE, join(ROOT, "node_modules/pm2/bin/pm2"))} "$@"`,
  );
  await program(
    join(bin, "wrangler"),
    `exec ${quoted(PROJECT_NODE, join(ROOT, "node_modules/wrangler/bin/wrangler.js"))} "$@"`,
  );
  await program(join(bin, "isha"), `exec ${quoted(PROJECT_NODE, join(clone, "cli/isha.cjs"))} "$@"`);
  const smi = join(folder, "nvidia-smi.mjs");
  await writeFile(smi, nvidiaSmi(tree));
  await program(join(bin, "nvidia-smi"), `exec ${quoted(PROJECT_NODE, smi)} "$@"`);
  await program(join(bin, "llama-server"), llamaServer(tree));
  await writeFile(join(folder, "loud.mjs"), LOUD);
}

async function program(path: string, text: string): Promise<void> {
  await writeFile(path, `#!/usr/bin/env bash\n${text}\n`);
  await chmod(path, 0o755);
}

/** The simulator, with what the faults of its port change: it exits, it gets further arguments, it prints its requests. */
const llamaServer = ({ faults, folder, loaded }: Tree): string => `port=0 previous=
for argument in "$@"; do [[ $previous == --port ]] && port=$argument; previous=$argument; done
faults=${quoted(faults)}
[[ -e $faults/exit-$port ]] && { echo "error loading model" >&2; exit 1; }
[[ $port == 0 ]] || echo $$ >${quoted(loaded)}/$port
more=()
[[ -e $faults/arguments-$port ]] && mapfile -t more <"$faults/arguments-$port"
[[ -e $faults/loud-$port ]] && export NODE_OPTIONS=--import=${join(folder, "loud.mjs")}
exec ${quoted(PROJECT_NODE, join(ROOT, "test/sim/llama-server.ts"))} "$@" --sim-load-ms 300 --sim-tokens-per-second 400 "\${more[@]}"`;

/** The simulator, on whose card each running server has its model and a cache. */
const nvidiaSmi = ({
  gpuFile,
  loaded,
  ports,
}: Tree): string => `import { readdirSync, readFileSync } from "node:fs";
import { runSmi } from ${JSON.stringify(join(ROOT, "test/sim/nvidia/program.ts"))};

const memoryMiB = ${JSON.stringify(Object.fromEntries(MODELS.map(({ weightsGib }, at) => [ports.servers[at], Math.round(weightsGib * 1024) + CACHE_MIB])))};
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
runSmi(process.argv.slice(2), {
  get switches() {
    const servers = readdirSync(${JSON.stringify(loaded)}).map((port) => {
      const pid = Number(readFileSync(${JSON.stringify(`${loaded}/`)} + port, "utf8"));
      return { pid, memoryMiB: memoryMiB[port] };
    });
    const gpu = JSON.parse(readFileSync(${JSON.stringify(gpuFile)}, "utf8"));
    return JSON.stringify({ ...gpu, processes: servers.filter(({ pid }) => pid > 0 && isAlive(pid)) });
  },
  print: (text) => void process.stdout.write(text),
  exit: (code) => process.exit(code),
});
`;

/** Prints each request's body, as a real llama-server does with \`--verbose\`. */
const LOUD = `import { Server } from "node:http";
const { emit } = Server.prototype;
Server.prototype.emit = function (event, request, ...rest) {
  if (event === "request") {
    const { push } = request;
    request.push = function (chunk, ...more) {
      if (chunk) process.stdout.write(chunk.toString() + "\\n");
      return push.call(this, chunk, ...more);
    };
  }
  return emit.call(this, event, request, ...rest);
};
`;

/** A small image may have no `ps`. PM2 lists every process and its parent by it, and stops nothing without it. */
const PS = `for file in /proc/[0-9]*/stat; do
  { read -r line <"$file"; } 2>/dev/null || continue
  set -- \${line##*) }
  echo "\${line%% *} $2"
done`;

const quoted = (...words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
