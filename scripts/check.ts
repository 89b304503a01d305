// `npm run check`: everything that can be checked without running the product. Every part runs, two at a time, so that
// all there is to fix shows at once.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { OFFLINE } from "./stack/commands.ts";
import { watchInterrupt } from "./stack/interrupt.ts";
import { PROJECT_NODE, ROOT, SHIPPED_FLEET } from "./paths.ts";
import { startProgram } from "./stack/program.ts";

/** One TypeScript project a room, so that none sees another's runtime; the root's is the fleet file's. */
const ROOMS =
  "shared . worker origin-agent cli console bench bench/floors/edge scripts test test/worker".split(" ");

/** Most of their time the parts use one core. */
const PARTS_AT_ONCE = 2;

interface Part {
  name: string;
  args: string[];
}

interface PartResult {
  name: string;
  hasPassed: boolean;
  seconds: string;
  output: string[];
}

/** @returns the longest ones first */
export function checkParts(): Part[] {
  const types = ROOMS.map((room) => ({
    name: `types of ${room === "." ? "fleet.config.ts" : `${room}/`}`,
    args: [tool("tsc"), "-p", room],
  }));
  return [
    { name: "lint", args: [tool("oxlint"), "--type-aware", "."] },
    { name: "format", args: [tool("oxfmt"), "--check", "."] },
    { name: "fleet", args: ["--eval", FLEET_CHECK, pathToFileURL(SHIPPED_FLEET).href] },
    ...types,
  ];
}

/** Prints the fault of the fleet file without our stack trace. */
const FLEET_CHECK =
  "import(process.argv[1]).catch((error) => { console.error(error.message); process.exitCode = 1; });";

/** @returns those that failed */
export async function check({
  onEnd,
  signal,
  parts = checkParts(),
}: {
  /** Called as each part ends. */
  onEnd: (result: PartResult) => void;
  signal: AbortSignal;
  parts?: readonly Part[];
}): Promise<PartResult[]> {
  const waiting = [...parts];
  const failed: PartResult[] = [];
  const work = async () => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
      const result = await runPart(part, signal);
      // It was ended, and shows nothing.
      if (signal.aborted) break;
      if (!result.hasPassed) failed.push(result);
      onEnd(result);
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work));
  return failed;
}

async function runPart({ name, args }: Part, signal: AbortSignal): Promise<PartResult> {
  const startedAt = performance.now();
  const output: string[] = [];
  const env = { ...(process.env as Record<string, string>), ...OFFLINE };
  const command = { command: PROJECT_NODE, args, env };
  const program = startProgram(name, command, { cwd: ROOT, onLine: (line) => void output.push(line) });
  const stop = () => void program.end();
  signal.addEventListener("abort", stop, { once: true });
  const { code } = await program.exited;
  signal.removeEventListener("abort", stop);
  return {
    name,
    hasPassed: code === 0,
    seconds: ((performance.now() - startedAt) / 1000).toFixed(1),
    output,
  };
}

export function partText({ name, hasPassed, seconds, output }: PartResult) {
  const line = `${hasPassed ? "ok    " : "FAILED"}  ${name} (${seconds} s)`;
  return hasPassed ? line : [line, ...output.map((text) => `  ${text}`)].join("\n");
}

function tool(name: string) {
  return join(ROOT, "node_modules", ".bin", name);
}

if (import.meta.main) {
  const interrupt = watchInterrupt();
  const failed = await check({ onEnd: (result) => console.log(partText(result)), signal: interrupt.signal });
  interrupt.ignore();
  if (interrupt.signal.aborted) {
    console.log("Interrupted.");
    process.exitCode = interrupt.exitCode();
  } else {
    console.log(
      failed.length === 0 ? "All checks passed." : `Failed: ${failed.map(({ name }) => name).join(", ")}.`,
    );
    process.exitCode = failed.length === 0 ? 0 : 1;
  }
}
