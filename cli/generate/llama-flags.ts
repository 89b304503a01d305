// Builds the command line of a llama-server from the fleet file, with flags that the box's own binary knows.
import type { Box, Server } from "../../shared/fleet.ts";

export interface LlamaFlagOptions {
  /** The port, unless it is the fleet file's: a simulator listens on a free one. */
  readonly port?: number;
  /** Path of the file with the key that the agent sends; it may be a placeholder. */
  readonly apiKeyFile: string;
  /** Every flag that the binary knows (`flagsInHelp`); without it, every flag is assumed known. */
  readonly knownFlags?: ReadonlySet<string> | undefined;
}

/** A flag with its value, if it takes one. */
export type Flag = readonly [string] | readonly [string, string];

interface PlannedFlag {
  /** Its names, the preferred one first. */
  readonly names: readonly [string, ...string[]];
  readonly value?: string | number;
  /** Why a binary without this flag can't be used; absent if the flag is optional. */
  readonly reason?: string;
}

/**
 * The flags of a server.
 * @throws Error that lists each flag that can't be used, with the reason.
 */
export function llamaFlags(box: Box, server: Server, options: LlamaFlagOptions): Flag[] {
  const { knownFlags } = options;
  const problems: string[] = [];
  const flags: Flag[] = [];
  for (const { names, value, reason } of plannedFlags(box, server, options)) {
    const name = knownFlags === undefined ? names[0] : names.find((each) => knownFlags.has(each));
    if (name !== undefined) flags.push(value === undefined ? [name] : [name, String(value)]);
    else if (reason !== undefined)
      problems.push(`${box.llamaServerBin} doesn't know ${names.join(" or ")}: ${reason}`);
  }
  for (const flag of extraFlags(server)) {
    const reason = REFUSED.get(flag[0]);
    if (reason !== undefined) problems.push(`flags: ${flag[0]} can't be set here: ${reason}`);
    else if (knownFlags?.has(flag[0]) === false) {
      problems.push(`flags: ${box.llamaServerBin} doesn't know ${flag[0]}`);
    }
    flags.push(flag);
  }
  if (problems.length === 0) return flags;
  const heading = `box "${box.name}", server ${server.port} (${server.pm2}) can't be started with this configuration:`;
  throw new Error([heading, ...problems.map((problem) => `  - ${problem}`)].join("\n"));
}

/** Every flag that `llama-server --help` lists. */
export function flagsInHelp(help: string): ReadonlySet<string> {
  const heads = help.split("\n").filter((line) => /^-{1,2}[a-z]/i.test(line));
  // `-fa,   --flash-attn [on|off|auto]   set …`: only the leading names and commas.
  return new Set(
    heads.flatMap((line) => /^(?:-{1,2}[\w-]+,? *)+/.exec(line)?.[0].match(/-{1,2}[\w-]+/g) ?? []),
  );
}

function plannedFlags(box: Box, server: Server, options: LlamaFlagOptions): PlannedFlag[] {
  const quantized = server.kvType !== "f16";
  const memory = "the box's memory is planned with it";
  const flags: PlannedFlag[] = [
    { names: ["--host"], value: "127.0.0.1", reason: "only the agent may reach it" },
    { names: ["--port"], value: options.port ?? server.port, reason: "the agent connects to this port" },
    {
      names: ["-m", "--model"],
      value: `${box.modelsDir}/${server.file}`,
      reason: "it names the model to load",
    },
    { names: ["--alias", "-a"], value: server.file, reason: "answers contain it as the model's name" },
    {
      names: ["-ngl", "--gpu-layers", "--n-gpu-layers"],
      value: 99,
      reason: "every layer must be on the GPU",
    },
    { names: ["-c", "--ctx-size"], value: server.slots * server.contextPerSlot, reason: memory },
    { names: ["--parallel", "-np"], value: server.slots, reason: "the agent leases its slots" },
    { names: ["-ub", "--ubatch-size"], value: server.ubatch, reason: memory },
    ...(["--cache-type-k", "--cache-type-v"] as const).map((name) => ({
      names: [name] as const,
      value: server.kvType,
      ...(quantized ? { reason: memory } : {}),
    })),
    {
      names: ["--flash-attn", "-fa"],
      value: "on",
      ...(quantized ? { reason: "a quantized value cache needs it" } : {}),
    },
    { names: ["--metrics"], reason: "the agent reads them" },
    { names: ["--slots"], reason: "the agent checks there that a slot is free" },
    { names: ["--no-cache-prompt"], reason: "otherwise one caller's prompt could serve another's" },
    // A binary that doesn't know this flag has no such cache.
    { names: ["--cache-ram", "-cram"], value: 0 },
    {
      names: ["--api-key-file"],
      value: options.apiKeyFile,
      reason: "anyone could read a key in its arguments",
    },
    { names: ["--no-webui", "--no-ui"] },
  ];
  if (server.capabilities.includes("embeddings")) {
    flags.push({ names: ["--embeddings", "--embedding"], reason: "its capabilities include embeddings" });
  }
  if (server.capabilities.includes("rerank")) {
    flags.push({ names: ["--reranking", "--rerank"], reason: "its capabilities include rerank" });
  }
  return flags;
}

/** The fleet file's extra flags, each with its value. */
function extraFlags(server: Server): Flag[] {
  const flags: Flag[] = [];
  for (const argument of server.flags) {
    const last = flags.at(-1);
    if (/^-{1,2}[a-z]/i.test(argument)) flags.push([argument]);
    else if (last?.length === 1) flags[flags.length - 1] = [last[0], argument];
    else
      throw new Error(
        `server ${server.port} (${server.pm2}): flags: "${argument}" follows no flag that it could belong to`,
      );
  }
  return flags;
}

const MANAGED = "other fields of the fleet file set it";
const LEAKS = "it would write clients' data to a disk";
const OPENS = "it would let clients do more than call the model";

/** Flags that the fleet file must not set, with the reason. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ...(
    "--host --port -m --model -a --alias -ngl --gpu-layers --n-gpu-layers -c --ctx-size -np --parallel -ub --ubatch-size " +
    "-ctk --cache-type-k -ctv --cache-type-v -fa --flash-attn --metrics --slots --no-slots --cache-prompt " +
    "--no-cache-prompt -cram --cache-ram --api-key --api-key-file --webui --no-webui --ui --no-ui"
  )
    .split(" ")
    .map((flag) => [flag, MANAGED] as const),
  ...["--log-file", "--log-prompts-dir", "--slot-save-path"].map((flag) => [flag, LEAKS] as const),
  ...(
    "--tools --tools-runtime -ag --agent --mcp-servers-config --mcp-servers-json --ui-mcp-proxy --webui-mcp-proxy " +
    "--path --props --media-path"
  )
    .split(" ")
    .map((flag) => [flag, OPENS] as const),
  ...["--models-dir", "--models-preset", "--models-max", "--models-autoload", "--no-models-autoload"].map(
    (flag) => [flag, "it would make the server a router of models; a server here has one model"] as const,
  ),
  [
    "--sleep-idle-seconds",
    "the server would unload its model, and the next call would wait until it is loaded",
  ],
  ...["--log-jsonl", "--log-colors"].map((flag) => [flag, "the log filter reads only plain lines"] as const),
]);

/** Why the fleet file may not set a flag; null if it may. */
export const refusalOf = (flag: string): string | null => REFUSED.get(flag) ?? null;
