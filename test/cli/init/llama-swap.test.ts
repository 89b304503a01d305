// The import of llama-swap files: its own example's forms (config.example.yaml), what is taken over, what is listed.
import { describe, expect, it } from "vitest";
import { splitCommand } from "../../../cli/init/llama-command.ts";
import { readLlamaSwap } from "../../../cli/init/llama-swap.ts";

const FILE = `
startPort: 10001
healthCheckTimeout: 500
macros:
  "latest-llama": >
    /opt/llama/llama-server --port \${PORT}
  "default_ctx": 4096
  "models_dir": "\${env.HOME}/models"
models:
  "wren-2b":
    macros:
      "default_ctx": 16384
    cmd: |
      # a comment
      \${latest-llama}
      --model \${models_dir}/wren-2b.Q6_K.gguf \\
      --ctx-size \${default_ctx} -np 4 -ngl 99 -ub 256
      --cache-type-k q8_0 --temp 0.7 --sleep-idle-seconds 60
    name: "Wren"
    description: "A thinking model, \${MODEL_ID}"
    ttl: 60
    aliases:
      - "gpt-4o-mini"
  "acme/lark:embed":
    proxy: http://127.0.0.1:8999
    cmd: /opt/llama/llama-server -m '/home/you/models/lark embed.gguf' --embeddings --port=8999
  "docker-llama":
    cmd: docker run --name \${MODEL_ID} -p \${PORT}:8080 llama.cpp:server
  "nameless":
    cmd: /opt/llama/llama-server --port 7000
routing:
  router: { use: group }
apiKeys: ["sk-secret"]
`;

const read = (text: string) => readLlamaSwap(text, { HOME: "/home/you" });

describe("a llama-swap file", () => {
  const { servers, llamaServerBin, modelsDir, skipped } = read(FILE);

  it("gives the facts of its llama-servers, with macros, comments and quotes resolved", () => {
    expect(servers).toEqual([
      {
        model: "acme-lark-embed",
        file: "lark embed.gguf",
        port: 8999,
        capabilities: ["embeddings"],
      },
      {
        model: "wren-2b",
        file: "wren-2b.Q6_K.gguf",
        // The command of docker-llama has taken the first port.
        port: 10_002,
        slots: 4,
        contextPerSlot: 4096,
        ubatch: 256,
        kvType: "q8_0",
        description: "A thinking model, wren-2b",
        flags: ["--temp", "0.7"],
      },
    ]);
    expect([llamaServerBin, modelsDir]).toEqual(["/opt/llama/llama-server", "/home/you/models"]);
  });

  it("has everything else listed, and no secret in the list", () => {
    expect(skipped).toEqual([
      "healthCheckTimeout: has no place in a fleet file",
      "routing: has no place in a fleet file",
      "apiKeys: has no place in a fleet file",
      "models.acme/lark:embed: its name becomes acme-lark-embed",
      "models.docker-llama: not imported: it is run by docker",
      "models.nameless: not imported: its command names no file (-m)",
      "models.wren-2b: ttl: has no place in a fleet file",
      "models.wren-2b: aliases: has no place in a fleet file",
      expect.stringMatching(/^models\.wren-2b: --sleep-idle-seconds 60: the server would unload its model/),
    ]);
  });

  it("with several programs or folders leaves the choice to the operator", () => {
    const two = read(`models:
  a: { cmd: /a/llama-server -m /x/a.gguf }
  b: { cmd: /b/llama-server -m /y/b.gguf }`);
    expect([two.llamaServerBin, two.modelsDir]).toEqual([null, null]);
    expect(two.skipped.join("\n")).toMatch(/several values of llama-server.*\n.*several values of folder/);
  });

  it.each(["models: 3", "- a", "{", ""])("is refused if it is none: %j", (text) => {
    expect(() => read(text)).toThrow();
  });

  it("that refers to itself is no endless loop", () => {
    expect(read("macros: { a: '${a}${a}' }\nmodels:\n  x: { cmd: 'llama-server -m ${a}' }").skipped).toEqual([
      expect.stringContaining("unknown macro"),
    ]);
  });
});

describe("a command", () => {
  it("is split as a shell does", () => {
    expect(splitCommand(`a "b c" 'd "e' f\\ g --x="y z" \\\n  h`)).toEqual([
      "a",
      "b c",
      'd "e',
      "f g",
      "--x=y z",
      "h",
    ]);
  });
});
