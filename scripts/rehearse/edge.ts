// The edge of the rehearsal: `wrangler dev` with the box's fleet file and the secrets that `isha secrets init` made, as a
// first deployment gets them.
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { FleetConfig } from "../../shared/fleet.ts";
import { ROOT } from "../paths.ts";
import { startEdge } from "../stack/edge.ts";
import { guardFolder } from "../stack/program.ts";
import { ProgramSet } from "../stack/program-set.ts";
import { EDGE, type Run } from "../stack/run.ts";
import { BOX } from "./fleet.ts";
import type { Tree } from "./tree.ts";

export interface Edge {
  /** On the port of before. */
  start(): Promise<void>;
  stop(): Promise<void>;
  lines(): string[];
  /** Ends it and removes its folder. */
  end(): Promise<void>;
}

export async function openEdge({ clone, home, ports, agentUrl }: Tree): Promise<Edge> {
  const secrets = JSON.parse(await readFile(join(home, ".isha/worker-secrets.json"), "utf8")) as Record<
    string,
    string
  >;
  const { BOX_SECRET = "", ...vars } = secrets;
  const fleetFile = join(clone, "fleet.config.ts");
  const { default: fleet } = (await import(pathToFileURL(fleetFile).href)) as { default: FleetConfig };
  // Inside the tree, so that a generated entry finds the project's packages.
  const parent = join(ROOT, ".wrangler");
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, "rehearse-"));
  guardFolder(folder);
  const programs = new ProgramSet({ cwd: ROOT, onLine: undefined, onExit: undefined });
  const run: Run = {
    options: { devKeys: false, boxOrigins: { [BOX]: agentUrl }, vars },
    fleet,
    fleetFile,
    folder,
    programs,
    boxSecret: BOX_SECRET,
    llamaApiKey: "",
    boxes: [],
    edgePort: ports.edge,
  };
  await startEdge(run, ports.edge);
  return {
    start: async () => void (await startEdge(run, ports.edge)),
    stop: () => programs.signal(EDGE, "SIGKILL"),
    lines: () => programs.get(EDGE).lines(20),
    async end() {
      await programs.endAll();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
