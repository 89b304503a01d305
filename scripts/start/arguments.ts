// Reads the arguments of `npm start` and the two ports in the environment. Pure.

/** Each box is an agent and the fleet's servers again, all of them on one machine. */
const MAX_BOXES = 4;

export const START_USAGE = `Usage: npm start [-- FLAGS]
Starts the edge, an origin agent and the fleet's llama-servers (simulated, with a simulated GPU) on this machine.

  --traffic      also send a gentle mixed load with the key "dev-key"
  --boxes N      N boxes like the fleet file's first one, 1 to ${MAX_BOXES}
  --real         use the llama-servers that answer on the fleet's ports here, simulate the others; use the real
                 nvidia-smi if there is one (LLAMA_API_KEY: the API key the servers were started with)
  --fleet FILE   another fleet file than fleet.config.ts
  --verbose      show what every program prints
  --help         this text

EDGE_PORT and AGENT_PORT fix the ports; without them 8787 and 8000 are taken, or the next free ones.`;

interface StartArguments {
  real: boolean;
  traffic: boolean;
  /** Null: as many as the fleet file has. */
  boxes: number | null;
  fleet: string | null;
  verbose: boolean;
  help: boolean;
}

/** @throws Error that names the invalid argument and shows the usage */
export function readStartArguments(argv: readonly string[]): StartArguments {
  const found: StartArguments = {
    real: false,
    traffic: false,
    boxes: null,
    fleet: null,
    verbose: false,
    help: false,
  };
  for (let at = 0; at < argv.length; at += 1) {
    const [flag = "", ...rest] = (argv[at] ?? "").split("=");
    const value = () => (rest.length > 0 ? rest.join("=") : (argv[(at += 1)] ?? ""));
    if (flag === "--fleet") found.fleet = value();
    else if (flag === "--boxes") found.boxes = readBoxes(value());
    else if (rest.length > 0) throw unknown(argv[at] ?? "");
    else if (flag === "--real" || flag === "--traffic" || flag === "--verbose" || flag === "--help")
      found[flag.slice(2) as "real" | "traffic" | "verbose" | "help"] = true;
    else if (flag === "-h") found.help = true;
    else throw unknown(flag);
  }
  if (found.fleet === "") throw new Error(`--fleet needs a file.\n\n${START_USAGE}`);
  return found;
}

const unknown = (flag: string) => new Error(`npm start doesn't know "${flag}".\n\n${START_USAGE}`);

function readBoxes(value: string) {
  const count = Number(value);
  if (/^\d+$/.test(value) && count >= 1 && count <= MAX_BOXES) return count;
  throw new Error(`--boxes needs a number from 1 to ${MAX_BOXES}; got "${value}".\n\n${START_USAGE}`);
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
