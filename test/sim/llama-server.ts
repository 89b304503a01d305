// A program that behaves as a real llama-server does, for tests, benchmarks and people without a GPU. What it
// does and its switches: `README.md` beside this file.
import { controlServer } from "./llama/control.ts";
import { FlagError, helpText, readFlags } from "./llama/flags.ts";
import { LlamaServer } from "./llama/server.ts";
import { SwitchError } from "./llama/switches.ts";
import type { AddressInfo } from "node:net";

/** Ends the process in the real program's manner: the reason on stderr, status 1. */
function refuse(error: unknown): never {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

/** `--help` and `--version`, which end the program: ways to learn which flags a binary knows. */
function explain(args: readonly string[]): void {
  if (args.some((arg) => arg === "--help" || arg === "--usage" || arg === "-h")) {
    process.stdout.write(helpText());
    process.exit(0);
  }
  if (args.includes("--version")) {
    // The real program says it on stderr.
    console.error("version: 1 (de3ff81)\nbuilt with a simulator");
    process.exit(0);
  }
}

function build(): LlamaServer {
  let server: LlamaServer;
  try {
    server = new LlamaServer(readFlags(process.argv.slice(2)));
  } catch (error) {
    if (!(error instanceof FlagError || error instanceof SwitchError)) throw error;
    refuse(error);
  }
  return server;
}

explain(process.argv.slice(2));
const server = build();
const { settings, board, ledger } = server.sim;
const port = await server.start().catch(refuse);

const control = controlServer({
  state: () => server.state(),
  async switch(change) {
    board.merge(change);
    await server.settled();
  },
  forget: () => ledger.forget(),
});
if (settings.controlPort !== null) {
  await new Promise<void>((resolve) => control.listen(settings.controlPort ?? 0, "127.0.0.1", resolve));
}

process.on("SIGTERM", () => server.terminate());
process.on("SIGINT", () => server.terminate());
if (settings.exitWithStdin) {
  process.stdin.resume();
  process.stdin.once("end", () => process.exit(0));
}

const address = control.address() as AddressInfo | null;
console.log(JSON.stringify({ sim: "llama-server", port, control: address?.port ?? null }));
