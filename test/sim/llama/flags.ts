// The command line of a llama-server, as far as a PM2 file of ours may use it, and the simulator's own
// `--sim-…` flags. An unknown flag ends the process with 1, as with the real one.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

export interface Settings {
  host: string;
  port: number;
  alias: string;
  modelPath: string;
  /** Tokens of context over all slots (`-c`). */
  context: number;
  parallel: number;
  apiKeys: string[];
  metrics: boolean;
  slots: boolean;
  ui: boolean;
  cachePrompt: boolean;
  embeddings: boolean;
  reranking: boolean;
  /** Seconds of silence in a stream before a comment line; -1 is never. */
  pingSeconds: number;
  chatTemplate: "roles" | "chatml";
  loadMs: number;
  controlPort: number | null;
  exitWithStdin: boolean;
  switches: Record<string, unknown>;
}

/** A command line that the real program would refuse. */
export class FlagError extends Error {}

type Apply = (settings: Settings, value: string) => void;

/** Flags that change what the simulator does: name, whether a value follows, effect. */
const VALUED: Record<string, Apply> = {
  "--host": (s, v) => void (s.host = v),
  "--port": (s, v) => void (s.port = integer("--port", v)),
  "--alias": (s, v) => void (s.alias = v),
  "--model": (s, v) => void (s.modelPath = v),
  "--ctx-size": (s, v) => void (s.context = integer("--ctx-size", v)),
  "--parallel": (s, v) => void (s.parallel = integer("--parallel", v)),
  "--api-key": (s, v) => void s.apiKeys.push(...v.split(",").filter((key) => key !== "")),
  "--api-key-file": (s, v) => void s.apiKeys.push(...keysOf(v)),
  "--pooling": () => undefined,
  "--sse-ping-interval": (s, v) => void (s.pingSeconds = integer("--sse-ping-interval", v)),
  "--chat-template": (s, v) => void (s.chatTemplate = v === "chatml" ? "chatml" : "roles"),
  "--sim-load-ms": (s, v) => void (s.loadMs = integer("--sim-load-ms", v)),
  "--sim-tokens-per-second": (s, v) => void (s.switches["tokensPerSecond"] = Number(v)),
  "--sim-prompt-tokens-per-second": (s, v) => void (s.switches["promptTokensPerSecond"] = Number(v)),
  "--sim-seed": (s, v) => void (s.switches["seed"] = integer("--sim-seed", v)),
  "--sim-control-port": (s, v) => void (s.controlPort = integer("--sim-control-port", v)),
  "--sim-switches": (s, v) => Object.assign(s.switches, JSON.parse(v)),
};

const PLAIN: Record<string, (settings: Settings) => void> = {
  "--metrics": (s) => void (s.metrics = true),
  "--slots": (s) => void (s.slots = true),
  "--no-slots": (s) => void (s.slots = false),
  "--no-webui": (s) => void (s.ui = false),
  "--cache-prompt": (s) => void (s.cachePrompt = true),
  "--no-cache-prompt": (s) => void (s.cachePrompt = false),
  "--embeddings": (s) => void (s.embeddings = true),
  "--reranking": (s) => void (s.reranking = true),
  "--sim-exit-with-stdin": (s) => void (s.exitWithStdin = true),
};

/** Flags that a real server takes and that change nothing here; `1` if a value follows. */
const IGNORED: Record<string, 0 | 1> = {
  "--ubatch-size": 1,
  "--batch-size": 1,
  "--gpu-layers": 1,
  "--cache-type-k": 1,
  "--cache-type-v": 1,
  "--flash-attn": 1,
  "--cache-ram": 1,
  "--cache-reuse": 1,
  "--threads": 1,
  "--threads-batch": 1,
  "--threads-http": 1,
  "--timeout": 1,
  "--main-gpu": 1,
  "--split-mode": 1,
  "--tensor-split": 1,
  "--device": 1,
  "--seed": 1,
  "--temp": 1,
  "--predict": 1,
  "--log-verbosity": 1,
  "--log-colors": 1,
  "--log-file": 1,
  "--reasoning-format": 1,
  "--reasoning-budget": 1,
  "--slot-prompt-similarity": 1,
  "--fit": 1,
  "--kv-unified": 0,
  "--no-kv-unified": 0,
  "--jinja": 0,
  "--no-jinja": 0,
  "--no-mmap": 0,
  "--mlock": 0,
  "--no-warmup": 0,
  "--warmup": 0,
  "--cont-batching": 0,
  "--no-cont-batching": 0,
  "--context-shift": 0,
  "--no-context-shift": 0,
  "--log-disable": 0,
  "--log-prefix": 0,
  "--log-timestamps": 0,
  "--offline": 0,
  "--verbose": 0,
};

const SHORT: Record<string, string> = {
  "-a": "--alias",
  "-m": "--model",
  "-c": "--ctx-size",
  "-np": "--parallel",
  "-ub": "--ubatch-size",
  "-b": "--batch-size",
  "-ngl": "--gpu-layers",
  "--n-gpu-layers": "--gpu-layers",
  "-ctk": "--cache-type-k",
  "-ctv": "--cache-type-v",
  "-fa": "--flash-attn",
  "-cram": "--cache-ram",
  "-t": "--threads",
  "-tb": "--threads-batch",
  "-to": "--timeout",
  "-mg": "--main-gpu",
  "-sm": "--split-mode",
  "-ts": "--tensor-split",
  "-dev": "--device",
  "-s": "--seed",
  "-n": "--predict",
  "--n-predict": "--predict",
  "-lv": "--log-verbosity",
  "-sps": "--slot-prompt-similarity",
  "-kvu": "--kv-unified",
  "-cb": "--cont-batching",
  "-v": "--verbose",
  "--embedding": "--embeddings",
  "--rerank": "--reranking",
  "--no-ui": "--no-webui",
};

/** Reads the arguments after the program's name. Throws `FlagError` in the real program's words. */
export function readFlags(args: readonly string[]): Settings {
  const settings = defaults();
  for (let at = 0; at < args.length; at += 1) {
    const given = args[at] ?? "";
    const name = SHORT[given] ?? given;
    const plain = PLAIN[name];
    const valued = VALUED[name];
    const ignored = IGNORED[name];
    if (plain) plain(settings);
    else if (valued || ignored === 1) {
      at += 1;
      const value = args[at];
      if (value === undefined) throw new FlagError(`error: expected value for argument: ${given}`);
      valued?.(settings, value);
    } else if (ignored === undefined) throw new FlagError(`error: invalid argument: ${given}`);
  }
  if (settings.alias === "") settings.alias = basename(settings.modelPath) || "simulated.gguf";
  if (settings.modelPath === "") settings.modelPath = settings.alias;
  return settings;
}

/** Tokens of context of ONE slot: `-c` over `--parallel`, rounded up to 256 as llama.cpp pads it. */
export const slotContext = (settings: Settings): number =>
  Math.ceil(Math.floor(settings.context / settings.parallel) / 256) * 256;

function defaults(): Settings {
  return {
    host: "127.0.0.1",
    port: 8080,
    alias: "",
    modelPath: "",
    context: 4_096,
    parallel: 4,
    apiKeys: [],
    metrics: false,
    slots: true,
    ui: true,
    cachePrompt: true,
    embeddings: false,
    reranking: false,
    pingSeconds: 30,
    chatTemplate: "roles",
    loadMs: 0,
    controlPort: null,
    exitWithStdin: false,
    switches: {},
  };
}

function integer(flag: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number)) {
    throw new FlagError(`error while handling argument "${flag}": stoi\n\nusage:\n${flag} N`);
  }
  return number;
}

function keysOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    throw new FlagError(`error while handling argument "--api-key-file": failed to open file '${path}'`);
  }
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "");
}

/** What `--help` prints: every flag it takes under all of its names, one a line, as the real program lists them. */
export function helpText(): string {
  const names = [...Object.keys(VALUED), ...Object.keys(PLAIN), ...Object.keys(IGNORED)];
  const lines = names.map((name) => {
    const others = Object.keys(SHORT).filter((short) => SHORT[short] === name);
    const value = name in VALUED || IGNORED[name] === 1 ? " VALUE" : "";
    return `${[...others, name].join(", ")}${value}\n`;
  });
  return `----- simulated llama-server -----\n\n-h, --help, --usage\n--version\n${lines.join("")}`;
}
