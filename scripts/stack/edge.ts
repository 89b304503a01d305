// Starts the edge of a stack under `wrangler dev`, with the stack's fleet file, and waits until it answers.
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ASSETS, buildAssets } from "../build.ts";
import { ROOT, SHIPPED_FLEET } from "../paths.ts";
import { edgeCommand } from "./commands.ts";
import { configText, entryText, envFileText, sortVariables } from "./edge-files.ts";
import { failureText, type Program } from "./program.ts";
import { EDGE, READY_MS, type Run } from "./run.ts";

const LIVEZ_POLL_MS = 50;

/** @returns its URL */
export async function startEdge(run: Run, port: number): Promise<string> {
  const { options, folder, boxes } = run;
  const { config, entry, assets } = await edgeSources(run);
  await buildAssets(run.fleet, assets);
  const envFile = join(folder, "edge.env");
  const agents = boxes
    .filter(({ agentUrl }) => agentUrl !== "")
    .map(({ name, agentUrl }) => [name, agentUrl]);
  const variables = {
    DEV_KEYS: options.devKeys === false ? "" : "1",
    BOX_SECRET: run.boxSecret,
    BOX_ORIGINS: JSON.stringify({ ...Object.fromEntries(agents), ...options.boxOrigins }),
    ...options.vars,
  };
  const { declared, vars } = sortVariables(await readFile(config, "utf8"), variables);
  await writeFile(envFile, envFileText(declared), { mode: 0o600 });
  const command = edgeCommand({ folder, config, entry, port, envFile, vars });
  return run.programs.launch(EDGE, command, async (program) => {
    const url = await program.waitFor((line) => /Ready on (http:\/\/[^\s/]+)/.exec(line)?.[1], READY_MS);
    await untilLive(url, program);
    return url;
  });
}

async function edgeSources({
  options,
  fleetFile,
  folder,
}: Run): Promise<{ config: string; entry: string | null; assets: string }> {
  const config = join(ROOT, "wrangler.toml");
  if (options.workerEntry !== undefined)
    return { config, entry: resolve(options.workerEntry), assets: ASSETS };
  if (fleetFile === SHIPPED_FLEET) return { config, entry: null, assets: ASSETS };
  const entryFile = join(ROOT, "worker", "index.ts");
  const main = join(folder, "index.ts");
  const files = { entryFile, shippedFleet: SHIPPED_FLEET, fleetFile };
  await writeFile(main, entryText(await readFile(entryFile, "utf8"), files));
  const generated = join(folder, "wrangler.toml");
  // The documents are about a fleet.
  const assets = join(folder, "assets");
  await writeFile(generated, configText(await readFile(config, "utf8"), { root: ROOT, main, assets }));
  return { config: generated, entry: null, assets };
}

async function untilLive(url: string, program: Program) {
  for (const deadline = performance.now() + READY_MS; performance.now() < deadline;) {
    if (!program.running()) break;
    const status = await fetch(`${url}/livez`, { signal: AbortSignal.timeout(READY_MS) }).then(
      (response) => response.status,
      () => null,
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, LIVEZ_POLL_MS));
  }
  throw new Error(failureText("edge", "didn't answer /livez with 200", program.lines()));
}
