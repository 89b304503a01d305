// Splits a llama-server's command line as a shell does, and reads the flags that a fleet file has fields for. Pure.

/** Comment lines are dropped, and a backslash at a line's end joins it with the next, as llama-swap does. */
export function splitCommand(command: string): string[] {
  const text = command
    .split("\n")
    .filter((line) => !line.trim().startsWith("#"))
    .map((line) => line.replace(/\\\s*$/, " "))
    .join(" ");
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word.replaceAll(
      /"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/g,
      (_, double?: string, single?: string, plain?: string) =>
        double === undefined ? (single ?? plain ?? "") : double.replaceAll(/\\(.)/g, "$1"),
    ),
  );
}

const NAMES: Readonly<Record<string, "model" | "port" | "context" | "slots" | "ubatch" | "cacheType">> = {
  "-m": "model",
  "--model": "model",
  "--port": "port",
  "-c": "context",
  "--ctx-size": "context",
  "-np": "slots",
  "--parallel": "slots",
  "-ub": "ubatch",
  "--ubatch-size": "ubatch",
  "-ctk": "cacheType",
  "--cache-type-k": "cacheType",
};

/** Set by `isha generate` in every case. */
const DROPPED = [
  "--host",
  "-ngl",
  "--gpu-layers",
  "--n-gpu-layers",
  "-ctv",
  "--cache-type-v",
  "-fa",
  "--flash-attn",
];
const DROPPED_ALONE = ["--metrics", "--slots", "--no-webui", "--no-cache-prompt"];

interface Flags {
  readonly known: {
    readonly model?: string;
    readonly port?: string;
    readonly context?: string;
    readonly slots?: string;
    readonly ubatch?: string;
    readonly cacheType?: string;
    readonly embeddings: boolean;
    readonly rerank: boolean;
  };
  /** The others, each with its value. */
  readonly other: readonly (readonly [string, ...string[]])[];
  /** Words that follow no flag. */
  readonly rest: readonly string[];
}

export function flagsOf(args: readonly string[]): Flags {
  const known: Record<string, string> = {};
  const other: [string, ...string[]][] = [];
  const rest: string[] = [];
  let [embeddings, rerank] = [false, false];
  for (const { flag, value } of grouped(args)) {
    const name = NAMES[flag];
    if (flag === "") rest.push(value ?? "");
    else if (name !== undefined && value !== undefined) known[name] = value;
    else if (flag === "--embedding" || flag === "--embeddings") embeddings = true;
    else if (flag === "--rerank" || flag === "--reranking") rerank = true;
    else if (!DROPPED.includes(flag) && !DROPPED_ALONE.includes(flag))
      other.push(value === undefined ? [flag] : [flag, value]);
  }
  return { known: { ...known, embeddings, rerank }, other, rest };
}

/** A word that isn't a flag is the value of the flag before it. `--flag=value` is split. */
function grouped(args: readonly string[]): { readonly flag: string; readonly value?: string }[] {
  const groups: { flag: string; value?: string }[] = [];
  for (const word of args) {
    const last = groups.at(-1);
    const [, name, given] = /^(-{1,2}[a-z][\w-]*)(?:=(.*))?$/i.exec(word) ?? [];
    if (name !== undefined) groups.push(given === undefined ? { flag: name } : { flag: name, value: given });
    else if (last !== undefined && last.flag !== "" && last.value === undefined) last.value = word;
    else groups.push({ flag: "", value: word });
  }
  return groups;
}
