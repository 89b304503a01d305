// Reads the arguments of `npm start` and the two ports in the environment. Pure.

export const START_USAGE = `Usage: npm start [-- FLAGS]
Starts the edge, an origin agent and the fleet's llama-servers (simulated) on this machine.

  --real         use the llama-servers that answer on the fleet's ports here, simulate the others
                 (LLAMA_API_KEY: the API key they were started with)
  --fleet FILE   another fleet file than fleet.config.ts
  --verbose      show what every program prints
  --help         this text

EDGE_PORT and AGENT_PORT fix the ports; without them 8787 and 8000 are taken, or the next free ones.`;

interface StartArguments {
  real: boolean;
  fleet: string | null;
  verbose: boolean;
  help: boolean;
}

/** @throws Error that says what isn't understood, with the usage */
export function readStartArguments(argv: readonly string[]): StartArguments {
  const found: StartArguments = { real: false, fleet: null, verbose: false, help: false };
  for (let at = 0; at < argv.length; at += 1) {
    const flag = argv[at] ?? "";
    if (flag === "--real") found.real = true;
    else if (flag === "--verbose") found.verbose = true;
    else if (flag === "--help" || flag === "-h") found.help = true;
    else if (flag.startsWith("--fleet=")) found.fleet = flag.slice("--fleet=".length);
    else if (flag === "--fleet") found.fleet = argv[(at += 1)] ?? "";
    else throw new Error(`npm start doesn't know "${flag}".\n\n${START_USAGE}`);
  }
  if (found.fleet === "") throw new Error(`--fleet needs a file.\n\n${START_USAGE}`);
  return found;
}

/** @param value as the environment has it */
export function readPort(
  name: string,
  value: string | undefined,
  usual: number,
): { port: number; fixed: boolean } {
  if (value === undefined || value === "") return { port: usual, fixed: false };
  const port = Number(value);
  if (!/^\d+$/.test(value) || port < 1 || port > 65_535) {
    throw new Error(`${name}=${value} is no port; it must be a number from 1 to 65535.`);
  }
  return { port, fixed: true };
}
