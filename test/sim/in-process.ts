// The simulated llama-server inside the test's own process, for tests of what it answers: it starts at once. What
// ends or freezes a whole process (`dieAfterTokens`, `dieOnWord`, signals) needs `startLlamaServer`.
import { readFlags } from "./llama/flags.ts";
import { LlamaServer } from "./llama/server.ts";
import { flagsOf, untilState } from "./start.ts";
import type { OpenServer, StartOptions, State } from "./start.ts";

export async function openLlamaServer(options: StartOptions = {}): Promise<OpenServer> {
  const server = new LlamaServer(readFlags(flagsOf(options)));
  const port = await server.start();
  const { board, ledger } = server.sim;
  const state = async (): Promise<State> => structuredClone(server.state()) as unknown as State;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    state,
    async set(switches) {
      board.merge(switches);
      await server.settled();
      return state();
    },
    async forget() {
      ledger.forget();
      return state();
    },
    until: async (wanted) => untilState(state, wanted),
    stop: async () => server.close(),
  };
}
