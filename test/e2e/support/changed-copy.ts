// Copies programs of the tree into a folder inside it, where they find its packages, with some of their constants changed:
// the other side of an upgrade, or a wait that no test should last.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";
import { agentCommand } from "../../../scripts/stack/commands.ts";
import type { ProgramSet } from "../../../scripts/stack/program-set.ts";
import type { Stack } from "./ask.ts";
import { FLEET_FILE } from "./boxes.ts";

const READY_MS = 120_000;

export interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface ChangedCopy {
  readonly root: string;
  remove(): Promise<void>;
}

/** @param parts files and folders of the tree */
export async function changedCopy(
  parts: readonly string[],
  changes: readonly Change[],
): Promise<ChangedCopy> {
  const parent = join(ROOT, ".wrangler");
  await mkdir(parent, { recursive: true });
  const root = await mkdtemp(join(parent, "copy-"));
  for (const part of parts) await cp(join(ROOT, part), join(root, part), { recursive: true });
  for (const { file, from, to } of changes) {
    const path = join(root, file);
    const text = await readFile(path, "utf8");
    if (!text.includes(from)) throw new Error(`${file} has no \`${from}\``);
    await writeFile(path, text.replace(from, to));
  }
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}

/** The change of a number in shared/limits.ts. */
export const limit = (name: string, from: string, to: string): Change => ({
  file: "shared/limits.ts",
  from: `${name} = ${from};`,
  to: `${name} = ${to};`,
});

/** What an agent's copy consists of. */
export const AGENT_PARTS = ["origin-agent", "shared", "package.json"] as const;

/** Starts the copy's agent for a box of a stack whose own agents were not started. @returns its pid */
export async function startCopiedAgent(
  programs: ProgramSet,
  stack: Stack,
  { copy, box, port }: { readonly copy: ChangedCopy; readonly box: string; readonly port: number },
): Promise<number> {
  const servers = stack.boxes.find(({ name }) => name === box)?.servers ?? [];
  const command = agentCommand({
    fleetFile: join(ROOT, FLEET_FILE),
    box,
    port,
    boxSecret: stack.boxSecret,
    llamaApiKey: stack.llamaApiKey,
    upstreamPorts: Object.fromEntries(
      servers.map((server) => [server.port, Number(new URL(server.url).port)]),
    ),
    simulatedPorts: servers.map((server) => server.port),
    edgeUrl: stack.edgeUrl,
    stateFolder: copy.root,
    further: {},
  });
  const args = [join(copy.root, "origin-agent/main.ts")];
  return programs.launch(box, { ...command, command: PROJECT_NODE, args }, async (program) => {
    await program.waitFor((line) => (line.includes('"event":"listening"') ? true : undefined), READY_MS);
    return program.pid;
  });
}
