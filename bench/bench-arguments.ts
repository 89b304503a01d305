// Reads the arguments of `npm run bench`. Pure.

export const BENCH_USAGE = `Usage: npm run bench [-- FLAGS]
Measures what the edge and the agent cost against bare floors on this machine, and prints one table.

  --only TEXT    only rows whose name contains it; may be given several times
  --json FILE    also write everything measured there
  --peers        also measure nginx, Portkey and the old nginx + FastAPI in the same run (installs Portkey into a
                 temporary folder; a peer that isn't available is skipped with a message)
  --scale        measure instead how costs grow with queue, keys, boxes, body size and streams (about 12 minutes)
  --svg FILE     with --scale, also draw the curves there
  --strict       exit code 1 if a row is over its bound
  --help         this text`;

export interface BenchArguments {
  readonly only: readonly string[];
  readonly json: string | null;
  readonly peers: boolean;
  readonly scale: boolean;
  readonly svg: string | null;
  readonly strict: boolean;
  readonly help: boolean;
}

/** @throws Error that names the invalid argument and shows the usage */
export function readBenchArguments(argv: readonly string[]): BenchArguments {
  const only: string[] = [];
  let json: string | null = null;
  let peers = false;
  let scale = false;
  let svg: string | null = null;
  let strict = false;
  let help = false;
  for (let at = 0; at < argv.length; at += 1) {
    const [flag, inline] = splitFlag(argv[at] ?? "");
    const value = (): string => {
      const given = inline ?? argv[(at += 1)] ?? "";
      if (given === "") throw new Error(`${flag} needs a value.\n\n${BENCH_USAGE}`);
      return given;
    };
    if (flag === "--only") only.push(value());
    else if (flag === "--json") json = value();
    else if (flag === "--peers" && inline === undefined) peers = true;
    else if (flag === "--scale" && inline === undefined) scale = true;
    else if (flag === "--svg") svg = value();
    else if (flag === "--strict" && inline === undefined) strict = true;
    else if ((flag === "--help" || flag === "-h") && inline === undefined) help = true;
    else throw new Error(`npm run bench doesn't know "${argv[at]}".\n\n${BENCH_USAGE}`);
  }
  if (svg !== null && !scale)
    throw new Error(`--svg draws what --scale measures: give both.\n\n${BENCH_USAGE}`);
  return { only, json, peers, scale, svg, strict, help };
}

/** `--flag=value` in its two parts. */
function splitFlag(text: string): [string, string?] {
  const equals = text.indexOf("=");
  return text.startsWith("--") && equals > 0 ? [text.slice(0, equals), text.slice(equals + 1)] : [text];
}

/** The requested rows. @throws Error if a text fits none */
export function chooseRows<T extends { readonly name: string; readonly peer?: true }>(
  all: readonly T[],
  only: readonly string[],
  peers: boolean,
): T[] {
  const rows = all.filter((row) => peers || row.peer !== true);
  const fits = (row: T, text: string): boolean => row.name.toLowerCase().includes(text.toLowerCase());
  for (const text of only) {
    if (!rows.some((row) => fits(row, text))) {
      throw new Error(
        `no row is named like "${text}"; there are:\n${rows.map(({ name }) => `  ${name}`).join("\n")}`,
      );
    }
  }
  return rows.filter((row) => only.length === 0 || only.some((text) => fits(row, text)));
}
