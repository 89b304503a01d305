// The command line of a box's llama-server: what the fleet file says, in flags that the box's own binary knows.
import type { Box, Server } from "../../shared/fleet.ts";

export interface LlamaFlagOptions {
  /** Where it listens, if not where the fleet file says: a simulator on a free port. */
  readonly port?: number;
  /** Path of the file with the key that the agent sends; `{…}` pieces of it are the caller's business. */
  readonly apiKeyFile: string;
  /** Every flag the binary knows, as `flagsInHelp` reads them; all of them where it wasn't asked. */
  readonly knownFlags?: ReadonlySet<string> | undefined;
}

/** A flag with its value, if it takes one. */
export type Flag = readonly [string] | readonly [string, string];

interface Wanted {
  /** What it is called, our first choice first. */
  readonly names: readonly [string, ...string[]];
  readonly value?: string | number;
  /** Why a binary that doesn't know it can't be used; absent where it can do without. */
  readonly why?: string;
}

/**
 * The flags of a server.
 * @throws Error that lists each flag that can't be, and why.
 */
export function llamaFlags(box: Box, server: Server, options: LlamaFlagOptions): Flag[] {
  const { knownFlags } = options;
  const faults: string[] = [];
  const flags: Flag[] = [];
  for (const { names, value, why } of wantedFlags(box, server, options)) {
    const name = knownFlags === undefined ? names[0] : names.find((each) => knownFlags.has(each));
    if (name !== undefined) flags.push(value === undefined ? [name] : [name, String(value)]);
    else if (why !== undefined)
      faults.push(`${box.llamaServerBin} doesn't know ${names.join(" or ")}: ${why}`);
  }
  for (const flag of ownFlags(server)) {
    const reason = REFUSED.get(flag[0]);
    if (reason !== undefined) faults.push(`flags: ${flag[0]} isn't yours to set: ${reason}`);
    else if (knownFlags?.has(flag[0]) === false) {
      faults.push(`flags: ${box.llamaServerBin} doesn't know ${flag[0]}`);
    }
    flags.push(flag);
  }
  if (faults.length === 0) return flags;
  const heading = `box "${box.name}", server ${server.port} (${server.pm2}) can't be started as it is described:`;
  throw new Error([heading, ...faults.map((fault) => `  - ${fault}`)].join("\n"));
}

/** Every flag that `llama-server --help` lists. */
export function flagsInHelp(help: string): ReadonlySet<string> {
  const heads = help.split("\n").filter((line) => /^-{1,2}[a-z]/i.test(line));
  // `-fa,   --flash-attn [on|off|auto]   set …`: names and commas up to the first thing that is neither.
  return new Set(
    heads.flatMap((line) => /^(?:-{1,2}[\w-]+,? *)+/.exec(line)?.[0].match(/-{1,2}[\w-]+/g) ?? []),
  );
}

function wantedFlags(box: Box, server: Server, options: LlamaFlagOptions): Wanted[] {
  const quantized = server.kvType !== "f16";
  const memory = "the box's memory is planned with it";
  const wanted: Wanted[] = [
    { names: ["--host"], value: "127.0.0.1", why: "nobody but the agent may reach it" },
    { names: ["--port"], value: options.port ?? server.port, why: "the agent looks for it there" },
    {
      names: ["-m", "--model"],
      value: `${box.modelsDir}/${server.file}`,
      why: "it says which model to load",
    },
    { names: ["--alias", "-a"], value: server.file, why: "answers name their model by it" },
    { names: ["-ngl", "--gpu-layers", "--n-gpu-layers"], value: 99, why: "every layer belongs on the GPU" },
    { names: ["-c", "--ctx-size"], value: server.slots * server.contextPerSlot, why: memory },
    { names: ["--parallel", "-np"], value: server.slots, why: "the agent leases its slots" },
    { names: ["-ub", "--ubatch-size"], value: server.ubatch, why: memory },
    ...(["--cache-type-k", "--cache-type-v"] as const).map((name) => ({
      names: [name] as const,
      value: server.kvType,
      ...(quantized ? { why: memory } : {}),
    })),
    {
      names: ["--flash-attn", "-fa"],
      value: "on",
      ...(quantized ? { why: "a quantized cache of values needs it" } : {}),
    },
    { names: ["--metrics"], why: "the agent reads them" },
    { names: ["--slots"], why: "the agent proves there that a slot is free" },
    { names: ["--no-cache-prompt"], why: "else one caller's prompt serves another's" },
    // A binary that doesn't know this keeps no such cache.
    { names: ["--cache-ram", "-cram"], value: 0 },
    {
      names: ["--api-key-file"],
      value: options.apiKeyFile,
      why: "a key in its arguments could be read by anyone",
    },
    { names: ["--no-webui", "--no-ui"] },
  ];
  if (server.capabilities.includes("embeddings")) {
    wanted.push({ names: ["--embeddings", "--embedding"], why: "its capabilities say embeddings" });
  }
  if (server.capabilities.includes("rerank")) {
    wanted.push({ names: ["--reranking", "--rerank"], why: "its capabilities say rerank" });
  }
  return wanted;
}

/** The fleet file's own flags, each with what follows it up to the next. */
function ownFlags(server: Server): Flag[] {
  const flags: Flag[] = [];
  for (const word of server.flags) {
    const last = flags.at(-1);
    if (/^-{1,2}[a-z]/i.test(word)) flags.push([word]);
    else if (last?.length === 1) flags[flags.length - 1] = [last[0], word];
    else
      throw new Error(
        `server ${server.port} (${server.pm2}): flags: "${word}" follows no flag that it could belong to`,
      );
  }
  return flags;
}

const OURS = "the fleet file's other fields say it";
const LEAKS = "it would write what clients send to a disk";
const OPENS = "it opens the box to more than answering calls";

/** What a fleet file's own flags can't be. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ...(
    "--host --port -m --model -a --alias -ngl --gpu-layers --n-gpu-layers -c --ctx-size -np --parallel -ub --ubatch-size " +
    "-ctk --cache-type-k -ctv --cache-type-v -fa --flash-attn --metrics --slots --no-slots --cache-prompt " +
    "--no-cache-prompt -cram --cache-ram --api-key --api-key-file --webui --no-webui --ui --no-ui"
  )
    .split(" ")
    .map((flag) => [flag, OURS] as const),
  ...["--log-file", "--log-prompts-dir", "--slot-save-path"].map((flag) => [flag, LEAKS] as const),
  ...(
    "--tools --tools-runtime -ag --agent --mcp-servers-config --mcp-servers-json --ui-mcp-proxy --webui-mcp-proxy " +
    "--path --props --media-path"
  )
    .split(" ")
    .map((flag) => [flag, OPENS] as const),
  ...["--log-jsonl", "--log-colors"].map((flag) => [flag, "the log filter knows plain lines only"] as const),
]);
