// Starts the origin agent: reads the settings and the fleet file, wires the parts, listens, and says so.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import { DEFAULT_AGENT, type Box, type Fleet } from "../shared/fleet.ts";
import { MAX_RETAINED_BYTES } from "../shared/limits.ts";
import { thrownName } from "../shared/thrown-name.ts";
import { fleetText } from "../shared/wire.ts";
import { AskedRestarts } from "./servers/operator-restarts.ts";
import { SnapshotSource } from "./link/snapshot-source.ts";
import { callLog } from "./telemetry/call-log.ts";
import { EdgeCommands } from "./link/edge-commands.ts";
import { boxHealth } from "./telemetry/healthz.ts";
import { journalFolder } from "./usage/journal-files.ts";
import { Link } from "./link/link.ts";
import { LiveBox } from "./servers/box.ts";
import { LogLines } from "./telemetry/log-lines.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { GpuProbe } from "./probes/gpu.ts";
import { countTokens } from "./probes/llama.ts";
import { Pm2Probe } from "./probes/pm2.ts";
import { isEpochAlive, ownEpoch } from "./usage/process-epoch.ts";
import { failedUnseen } from "./calls/late-failure.ts";
import { RecentTraffic } from "./telemetry/traffic.ts";
import { RetryBudget } from "./calls/recovery.ts";
import { RetainedBodies } from "./calls/request-bodies.ts";
import { createAgentServer } from "./server.ts";
import { readSettings } from "./settings.ts";
import { stopOnSignals } from "./shutdown.ts";
import { tokenCheck, tokenForEdge } from "./edge-token.ts";
import { openUpstreams } from "./servers/upstream-sockets.ts";
import { answerTokens, callEnd } from "./usage/call-usage.ts";
import { openUsageJournal } from "./usage/journal.ts";

/** How often journals of processes that are gone are looked for, milliseconds. */
const ADOPT_MS = 60_000;

/** How long the first looks at the servers may take before the agent says that it is ready, milliseconds. */
const FIRST_LOOKS_MS = 1_500;

try {
  await start();
} catch (error) {
  // PM2 would only note a failed start, and take a process that serves nobody for one that runs.
  console.error(error instanceof Error ? error.message : "the agent could not be started");
  process.exit(1);
}

async function start(): Promise<void> {
  const settings = readSettings(process.env);
  const fleetFile =
    settings.fleetFile === null
      ? new URL("../fleet.config.ts", import.meta.url)
      : pathToFileURL(settings.fleetFile);
  const { default: fleet } = (await import(fleetFile.href)) as { readonly default: Fleet };
  const box = boxNamed(fleet, settings.box);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  };

  const epoch = ownEpoch();
  const lines = new LogLines();
  const log = pino({ level: settings.logLevel, base: { box: box.name } }, lines);
  const clock = (): number => performance.now();
  const wallClock = (): number => Date.now();
  const upstreams = openUpstreams(box, settings);
  const modelOf = (port: number): string | null => upstreams.get(port)?.server.model ?? null;

  const folder = join(settings.stateFolder, "journal");
  const journal = openUsageJournal({ folder, epoch, isAlive: isEpochAlive, now: wallClock });
  const adopt = (): Promise<unknown> =>
    journal.adopt().catch((error: unknown) => log.error({ event: "journal", reason: thrownName(error) }));
  setInterval(() => void adopt(), ADOPT_MS).unref();

  const agentTypes = fleet.boxes.flatMap((one) => one.servers.flatMap(({ agents }) => agents));
  const metrics = new Metrics(box, [...agentTypes, DEFAULT_AGENT]);
  const recent = new RecentTraffic([...agentTypes, DEFAULT_AGENT]);
  const gpu = new GpuProbe({
    command: settings.nvidiaSmi,
    onProblem: (problem) => log.warn({ event: "gpu", problem: problem?.kind ?? null }),
    clock,
  });
  const pm2 = new Pm2Probe({
    home: settings.pm2Home,
    onProblem: (problem) => log.warn({ event: "pm2", problem }),
    wallClock,
  });
  const live = new LiveBox({
    box,
    upstreams,
    llamaApiKey: settings.llamaApiKey,
    gpu,
    pm2,
    onAbortProved: (port, tookMs) => metrics.abortProved(port, tookMs),
    isShared: () => othersAlive(folder, epoch),
    log,
    clock,
  });
  metrics.observe(live, gpu);

  const words = new EdgeCommands({
    restarts: new AskedRestarts(box, pm2, clock),
    revoke: (keyId) => live.dispatch.revoke(keyId),
    log,
  });
  const look = new SnapshotSource({
    live,
    gpu,
    journal,
    recent,
    isDraining: () => agent.draining || words.held,
    clock,
  });
  const link = new Link({
    edgeUrl: settings.edgeUrl ?? `https://${fleet.domain}`,
    box: box.name,
    token: await tokenForEdge(settings.boxSecrets[0], box.name),
    hello: () => ({
      box: box.name,
      epoch,
      version,
      fleetHash: createHash("sha256").update(fleetText(fleet)).digest("hex"),
      now: wallClock(),
      servers: box.servers.map(({ port, model }) => ({ port, model })),
    }),
    look: (usageBehindMs) => look.snapshot(usageBehindMs),
    journal,
    onWord: words.hear,
    log,
    clock,
    wallClock,
    random: Math.random,
  });

  const agent = createAgentServer({
    box: box.name,
    dispatch: live.dispatch,
    budget: new RetryBudget(),
    modelOf,
    countTokens: (grant, text) => countTokens(grant.upstream.origin, settings.llamaApiKey, text),
    isEdge: await tokenCheck(settings.boxSecrets, box.name, "edge-to-agent"),
    bodies: new RetainedBodies(MAX_RETAINED_BYTES),
    control: {
      // Says no more than which ports are up, so it needs no token: `npm start -- --real` and people use it.
      "/healthz": async () => ({
        contentType: "application/json; charset=utf-8",
        body: JSON.stringify(boxHealth(box.name, version, live.servers, words.held)),
      }),
      "/metrics": async () => ({ contentType: metrics.contentType, body: await metrics.text() }),
    },
    guarded: {
      "/fleet": async () => ({
        contentType: "application/json; charset=utf-8",
        body: JSON.stringify({ box: box.name, version, epoch, linked: link.isOpen, ...link.snapshot() }),
      }),
    },
    isDrained: () => words.held,
    onDispatch: (call, port, bodyBytes) => {
      const { requestId: callId, keyId, agentType } = call;
      const end = journal.start({
        callId,
        keyId,
        agentType,
        model: modelOf(port) ?? "none",
        port,
        startedAt: wallClock(),
      });
      return (report, ms) => {
        end(callEnd(call, report, bodyBytes, ms));
        link.noted();
      };
    },
    onEnd: (call, report, ms) => {
      metrics.ended(call, report, ms);
      const tokens = answerTokens(report);
      look.ended(report.port, tokens);
      recent.ended(call, report, tokens, clock());
      const failed = failedUnseen(call, report, ms);
      if (failed !== null) link.failed(failed);
      log.info(callLog(call, report, ms));
    },
    log,
    clock,
  });

  await adopt();
  live.start();
  // Until then it would refuse calls for servers that are well.
  await live.known(FIRST_LOOKS_MS);
  // For the next start; a process that is killed would leave nothing.
  flushCompileCache();
  agent.server.listen(settings.port, settings.host, () => {
    const address = agent.server.address();
    const port = typeof address === "object" && address !== null ? address.port : settings.port;
    log.info({ event: "listening", host: settings.host, port, version, epoch });
    lines.flush();
    process.send?.("ready");
    if (settings.edgeUrl !== "") link.start();
  });
  stopOnSignals(
    agent,
    async () => {
      look.stop();
      await Promise.all([live.stop(), link.finish()]);
      await journal.close();
    },
    log,
  );
}

/** Another agent process of this box: the one before, still draining, or the one after. */
async function othersAlive(folder: string, epoch: string): Promise<boolean> {
  try {
    const segments = await journalFolder(folder).list();
    return segments.some((segment) => segment.epoch !== epoch && isEpochAlive(segment.epoch));
  } catch {
    return false;
  }
}

function boxNamed(all: Fleet, name: string | null): Box {
  const [only, ...others] = all.boxes;
  if (name === null && only !== undefined && others.length === 0) return only;
  const found = all.boxes.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const names = all.boxes.map((candidate) => candidate.name).join(", ");
  throw new Error(
    `ISHA_BOX must name this machine's box in the fleet file (${names})${name === null ? "" : `; "${name}" isn't one`}`,
  );
}
