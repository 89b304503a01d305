import { describe, expect, it } from "vitest";
import { flagsInHelp, llamaFlags } from "../../../cli/generate/llama-flags.ts";
import { defineFleet, type Box, type Server } from "../../../shared/fleet.ts";
import { readFlags } from "../../sim/llama/flags.ts";
import { boxInput, fleetInput, serverInput } from "../../shared/support/fleet-input.ts";

type ServerInput = Parameters<typeof serverInput>[0];

/** A box with one server. */
function boxWith(change: Partial<ServerInput>): { box: Box; server: Server } {
  const server = serverInput({ port: 9103, model: "Wren-1B", agents: [], ...change });
  const { boxes } = defineFleet({
    ...fleetInput(),
    modelRouter: [],
    boxes: [{ ...boxInput("north"), servers: [server] }],
  });
  const [box] = boxes;
  if (box?.servers[0] === undefined) throw new Error("the fleet has no server");
  return { box, server: box.servers[0] };
}

function commandLine(change: Partial<ServerInput> = {}, knownFlags?: ReadonlySet<string>): string {
  const { box, server } = boxWith(change);
  return llamaFlags(box, server, { apiKeyFile: "/keys/llama", knownFlags }).flat().join(" ");
}

/** An excerpt of `llama-server --help` of llama.cpp de3ff81. */
const HELP = `\
----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-ub,   --ubatch-size N                  physical maximum batch size (default: 512)
-fa,   --flash-attn [on|off|auto]       set Flash Attention use ('on', 'off', or 'auto', default: 'auto')
-ctk,  --cache-type-k TYPE              KV cache data type for K
-ctv,  --cache-type-v TYPE              KV cache data type for V
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM, either an exact number,
                                        - row: split weight across GPUs by rows (parallelized)
-m,    --model FNAME                    model path to load
--threads N                             number of threads

----- example-specific params -----

-np,   --parallel N                     number of server slots (default: -1, -1 = auto)
-a,    --alias STRING                   set model name aliases, comma-separated (to be used by API)
--host HOST                             ip address to listen
--port PORT                             port to listen
--ui,  --webui, --no-ui, --no-webui     whether to enable the Web UI (default: enabled)
--embedding, --embeddings               restrict to only support embedding use case
--rerank, --reranking                   enable reranking endpoint on server (default: disabled)
--api-key-file FNAME                    path to file containing API keys, one per line
--cache-prompt, --no-cache-prompt       whether to enable prompt caching (default: enabled)
-cram, --cache-ram N                    set the maximum cache size in MiB (default: 8192, -1 - no limit, 0 -
                                        disable)
--metrics                               enable prometheus compatible metrics endpoint (default: disabled)
--slots, --no-slots                     expose slots monitoring endpoint (default: enabled)
`;

const without = (...flags: string[]): ReadonlySet<string> =>
  new Set([...flagsInHelp(HELP)].filter((flag) => !flags.includes(flag)));

describe("a llama-server's command line", () => {
  it("follows the fleet file, and keeps the callers' caches apart", () => {
    expect(commandLine({ slots: 3, contextPerSlot: 1_024, ubatch: 64, kvType: "q8_0" })).toBe(
      "--host 127.0.0.1 --port 9103 -m /opt/models/Wren-1B.gguf --alias Wren-1B.gguf -ngl 99 -c 3072 --parallel 3 -ub 64 " +
        "--cache-type-k q8_0 --cache-type-v q8_0 --flash-attn on --metrics --slots --no-cache-prompt --cache-ram 0 " +
        "--api-key-file /keys/llama --no-webui",
    );
  });

  it("enables the server's capabilities", () => {
    expect(commandLine({ capabilities: ["embeddings"] })).toMatch(/ --embeddings$/);
    expect(commandLine({ capabilities: ["rerank"] })).toMatch(/ --reranking$/);
  });

  it("ends with the fleet file's extra flags", () => {
    expect(commandLine({ flags: ["--threads", "4", "--mlock", "--temp", "-0.5"] })).toMatch(
      / --no-webui --threads 4 --mlock --temp -0\.5$/,
    );
  });

  it("is accepted by the simulator", () => {
    const flags = commandLine({ capabilities: ["embeddings", "rerank"], flags: ["--threads", "4"] });
    const args = flags.replace("--api-key-file /keys/llama ", "").split(" ");
    expect(readFlags(args)).toMatchObject({ port: 9103, parallel: 2, cachePrompt: false, ui: false });
  });
});

describe("for a binary with a list of known flags, the command line", () => {
  it("is the same if all flags are known", () => {
    expect(commandLine({}, flagsInHelp(HELP))).toBe(commandLine());
  });

  it("uses the binary's name of a flag", () => {
    expect(commandLine({}, without("--no-webui", "--parallel", "-m"))).toMatch(
      /--model .* -np 2 .* --no-ui$/,
    );
  });

  it("leaves out unknown optional flags", () => {
    const line = commandLine(
      {},
      without("--cache-ram", "-cram", "--no-webui", "--no-ui", "--flash-attn", "-fa"),
    );
    expect(line).not.toMatch(/cache-ram|ui|flash/);
  });

  it.each<[string, string[], Partial<ServerInput>]>([
    ["--no-cache-prompt: otherwise one caller's prompt could serve another's", ["--no-cache-prompt"], {}],
    ["--slots: the agent checks there that a slot is free", ["--slots"], {}],
    ["--flash-attn or -fa: a quantized value cache needs it", ["--flash-attn", "-fa"], { kvType: "q8_0" }],
    ["--embeddings or --embedding", ["--embeddings", "--embedding"], { capabilities: ["embeddings"] }],
  ])("can't be built if the binary doesn't know %s", (message, missing, change) => {
    expect(() => commandLine(change, without(...missing))).toThrow(
      `/opt/llama/llama-server doesn't know ${message}`,
    );
  });

  it("can't be built with an unknown flag of the fleet file", () => {
    expect(() => commandLine({ flags: ["--mlok"] }, flagsInHelp(HELP))).toThrow("doesn't know --mlok");
  });
});

describe("a fleet file's extra flags", () => {
  it.each([
    [["--host", "0.0.0.0"], "--host can't be set here: other fields of the fleet file set it"],
    [["--log-file", "/tmp/x"], "--log-file can't be set here: it would write clients' data to a disk"],
    [["--tools", "all"], "--tools can't be set here: it would let clients do more than call the model"],
    [["--api-key", "k"], "--api-key can't be set here"],
    [["4"], '"4" follows no flag'],
    [["--threads", "4", "5"], '"5" follows no flag'],
  ])("can't be %j", (flags, message) => {
    expect(() => commandLine({ flags })).toThrow(message);
  });

  it("with several mistakes are all reported at once, with their server", () => {
    expect(() => commandLine({ flags: ["--port", "1", "--tools", "all"] })).toThrow(
      /^box "north", server 9103 \(llama-9103\) can't be started with this configuration:\n {2}- .*--port.*\n {2}- .*--tools/,
    );
  });
});

describe("the flags of a help text", () => {
  it("are all its names, short and long, and nothing else", () => {
    const known = flagsInHelp(HELP);
    for (const flag of [
      "-h",
      "--usage",
      "-ngl",
      "--n-gpu-layers",
      "-fa",
      "--no-webui",
      "--port",
      "--slots",
    ]) {
      expect(known.has(flag), flag).toBe(true);
    }
    expect([...known].filter((flag) => !/^-{1,2}[a-z][a-z-]*$/.test(flag))).toEqual([]);
    expect(known.has("---") || known.has("-row")).toBe(false);
  });
});
