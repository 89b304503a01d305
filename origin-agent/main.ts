// Starts the origin agent: reads the settings and the fleet file, wires the parts, listens, and says so.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { pino } from "pino";
import type { Box, Fleet } from "../shared/fleet.ts";
import { MAX_RETAINED_BYTES } from "../shared/limits.ts";
import { boxHealth } from "./health.ts";
import { RetainedBodies } from "./retained-bodies.ts";
import { createAgentServer } from "./server.ts";
import { readSettings } from "./settings.ts";
import { stopOnSignals } from "./stop.ts";
import { tokenCheck } from "./token.ts";
import { openUpstreams } from "./upstreams.ts";

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

const log = pino({ level: settings.logLevel, base: { box: box.name } });
const clock = (): number => performance.now();
const upstreams = openUpstreams(box, settings);
const server = createAgentServer({
  box: box.name,
  upstreams,
  isEdge: await tokenCheck(settings.boxSecrets, box.name, "edge-to-agent"),
  health: boxHealth(box.name, version, upstreams, clock),
  bodies: new RetainedBodies(MAX_RETAINED_BYTES),
  log,
  clock,
});

server.listen(settings.port, settings.host, () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : settings.port;
  log.info({ event: "listening", host: settings.host, port, version });
  process.send?.("ready");
});
stopOnSignals(server, log);

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
