// Starts the origin agent: reads the settings and the fleet file, opens the real parts, listens, and reports that it
// is ready. It wires nothing itself; see `agent.ts`.
import { readFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { pino, type Logger } from "pino";
import { thrownName } from "../shared/errors.ts";
import type { Box, FleetConfig } from "../shared/fleet.ts";
import { createAgent } from "./agent.ts";
import { keepFleet, readFleet } from "./fleet-file.ts";
import { Presence } from "./presence.ts";
import { GpuProbe } from "./probes/gpu.ts";
import { Pm2Probe } from "./probes/pm2.ts";
import { openUpstreams } from "./servers/upstream-sockets.ts";
import { readSettings } from "./settings.ts";
import { stopOnSignals } from "./shutdown.ts";
import { LogLines } from "./telemetry/log-lines.ts";
import { openUsageJournal } from "./usage/journal.ts";
import { isEpochAlive, ownEpoch } from "./usage/process-epoch.ts";

try {
  await start();
} catch (error) {
  // Exits itself: PM2 would count a process that failed to start but didn't exit as running.
  console.error(error instanceof Error ? error.message : "the agent could not be started");
  process.exit(1);
}

async function start(): Promise<void> {
  const settings = readSettings(process.env);
  const fleetFile =
    settings.fleetFile === null
      ? new URL("../fleet.config.ts", import.meta.url)
      : pathToFileURL(settings.fleetFile);
  const fleetCopy = join(settings.stateFolder, "last-fleet.json");
  const { fleet, fault: fleetFault } = await readFleet(fleetFile, fleetCopy);
  const box = boxNamed(fleet, settings.box);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  };
  const epoch = ownEpoch();
  const lines = new LogLines();
  const log = pino({ level: settings.logLevel, base: { box: box.name } }, lines);
  const clock = (): number => performance.now();
  const wallClock = (): number => Date.now();
  const folder = join(settings.stateFolder, "journal");
  const presence = new Presence(join(settings.stateFolder, "agents"), epoch);
  presence.announce(log);
  if (fleetFault !== null) {
    const advice = `correct ${fileURLToPath(fleetFile)}, then reload the agent; until then it runs ${fleetCopy}`;
    log.error({ event: "fleet-file", fault: fleetFault, advice });
  }
  const agent = await createAgent({
    fleet,
    fleetFault,
    box,
    version,
    epoch,
    upstreams: openUpstreams(box, settings),
    llamaApiKey: settings.llamaApiKey,
    boxSecrets: settings.boxSecrets,
    edgeUrl: settings.edgeUrl === "" ? null : (settings.edgeUrl ?? `https://${fleet.domain}`),
    drainFile: join(settings.stateFolder, "drain.json"),
    journal: openUsageJournal({
      folder,
      epoch,
      isAlive: isEpochAlive,
      isAlone: () => !presence.isShared(),
      onSetAside: (file) => {
        const advice = `calls in ${file} that were not sent yet are not booked: read them with "sqlite3 .recover"`;
        log.error({ event: "journal-corrupt", advice });
      },
    }),
    gpu: new GpuProbe({
      command: settings.nvidiaSmi,
      onProblem: (problem) => log.warn({ event: "gpu", problem }),
      clock,
    }),
    simulated: settings.simulatedGpu || settings.simulatedPorts.size > 0,
    pm2: new Pm2Probe({
      home: settings.pm2Home,
      onProblem: (problem) => log.warn({ event: "pm2", problem }),
      wallClock,
    }),
    isShared: () => presence.isShared(),
    log,
    clock,
    wallClock,
    random: Math.random,
  });

  await agent.start();
  // Saves the compile cache for the next start; a killed process would leave none.
  flushCompileCache();
  agent.server.listen(settings.port, settings.host, () => {
    const address = agent.server.address();
    const port = typeof address === "object" && address !== null ? address.port : settings.port;
    log.info({ event: "listening", host: settings.host, port, version, epoch });
    lines.flush();
    process.send?.("ready");
    agent.startLink();
    if (fleetFault === null) keepCopy(fleet, fleetCopy, log);
  });
  stopOnSignals(agent, () => agent.stop(), log);
}

/** Without a copy the agent runs too, until its fleet file is invalid at a start. */
function keepCopy(fleet: FleetConfig, copy: string, log: Logger): void {
  try {
    keepFleet(fleet, copy);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? thrownName(error);
    log.error({ event: "fleet-file", reason, advice: `${copy} can't be written: free or repair its disk` });
  }
}

function boxNamed(all: FleetConfig, name: string | null): Box {
  const [only, ...others] = all.boxes;
  if (name === null && only !== undefined && others.length === 0) return only;
  const found = all.boxes.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const names = all.boxes.map((candidate) => candidate.name).join(", ");
  throw new Error(
    `ISHA_BOX must name this machine's box in the fleet file (${names})${name === null ? "" : `; got "${name}"`}`,
  );
}
