// An edge between two releases of the agent, as during an upgrade (agents first, the edge after) and on the way back: one
// box runs the next version of both contracts, the other the previous one.
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROJECT_NODE, ROOT } from "../../../scripts/paths.ts";
import { agentCommand } from "../../../scripts/stack/commands.ts";
import { freePort } from "../../../scripts/stack/ports.ts";
import { ProgramSet } from "../../../scripts/stack/program-set.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import { CALL_VERSION } from "../../../shared/call-headers.ts";
import { WIRE_VERSION } from "../../../shared/wire.ts";
import { print, readStream } from "../support/agent-call.ts";
import type { Stack } from "../support/ask.ts";
import { admin, byBox, callEdge, edgeBox, edgeView, FLEET_FILE, type Streamed } from "../support/boxes.ts";
import { until } from "../../support/until.ts";

const RELEASES = [
  { box: "north", step: 1 },
  { box: "south", step: -1 },
] as const;

let stack: Stack;
let folder: string;
const agents = new ProgramSet({ cwd: ROOT, onLine: undefined, onExit: undefined });

beforeAll(async () => {
  // Inside the tree, so that the copies find its packages.
  folder = await mkdtemp(join(ROOT, ".wrangler", "releases-"));
  const ports = new Map<string, number>();
  for (const { box } of RELEASES) ports.set(box, await freePort());
  const boxOrigins = Object.fromEntries([...ports].map(([box, port]) => [box, `http://127.0.0.1:${port}`]));
  stack = await startStack({
    fleetFile: FLEET_FILE,
    agents: false,
    boxOrigins,
    simulator: { tokensPerSecond: 0, promptTokensPerSecond: 100_000 },
  });
  for (const { box, step } of RELEASES) await startRelease(box, step, ports.get(box) ?? 0);
});
afterAll(async () => {
  await agents.endAll();
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Starts a copy of the agent whose contracts have other versions, and whose hello has a field that the edge lacks. */
async function startRelease(box: string, step: number, port: number): Promise<void> {
  const root = join(folder, box);
  for (const part of ["origin-agent", "shared", "package.json"])
    await cp(join(ROOT, part), join(root, part), { recursive: true });
  await patch(
    join(root, "shared/wire.ts"),
    `WIRE_VERSION = ${WIRE_VERSION};`,
    `WIRE_VERSION = ${WIRE_VERSION + step};`,
  );
  await patch(
    join(root, "shared/call-headers.ts"),
    `CALL_VERSION = ${CALL_VERSION};`,
    `CALL_VERSION = ${CALL_VERSION + step};`,
  );
  await patch(
    join(root, "origin-agent/link/link.ts"),
    "v: WIRE_VERSION,",
    `v: WIRE_VERSION, later: ["a field"],`,
  );
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
    stateFolder: folder,
    further: {},
  });
  const args = [join(root, "origin-agent/main.ts")];
  await agents.launch(box, { ...command, command: PROJECT_NODE, args }, (program) =>
    program.waitFor((line) => (line.includes('"event":"listening"') ? true : undefined), 120_000),
  );
}

async function patch(file: string, from: string, to: string): Promise<void> {
  const text = await readFile(file, "utf8");
  if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
  await writeFile(file, text.replace(from, to));
}

test("calls, snapshots, usage and commands pass between an edge and agents of the adjacent releases", async () => {
  await until(async () => {
    const boxes = (await edgeView(stack))?.boxes ?? [];
    return boxes.every(
      ({ state, servers }) => state === "up" && servers.every((server) => server.state === "ready"),
    );
  }, "the edge sees both boxes ready");

  const calls: Streamed[] = [];
  await until(async () => {
    calls.push(await callEdge(stack, { tokens: 4 }), await callEdge(stack, { tokens: 4, stream: false }));
    return RELEASES.every(({ box }) => calls.some((call) => call.box === box));
  }, "both boxes have answered");
  expect(calls.map(({ status }) => status)).toEqual(calls.map(() => 200));
  const streams = calls.filter(({ text }) => text.startsWith("data:"));
  expect(streams.map(({ text }) => readStream(text).dones)).toEqual(streams.map(() => 1));

  // Every call is acknowledged by the ledger.
  await until(async () => {
    const response = await admin(stack, "GET", "/usage?by=key");
    const { rows } = (await response.json()) as { rows: { calls: number }[] };
    return rows.reduce((sum, row) => sum + row.calls, 0) === calls.length;
  }, "the calls of both releases are booked");

  for (const { box } of RELEASES) {
    await admin(stack, "POST", `/boxes/${box}/drain`);
    await until(async () => (await edgeBox(stack, box))?.state === "draining", `${box} drains`);
    const during = await Promise.all(Array.from({ length: 4 }, () => callEdge(stack, { tokens: 1 })));
    expect(during.map((call) => call.box)).not.toContain(box);
    await admin(stack, "POST", `/boxes/${box}/resume`);
    await until(async () => (await edgeBox(stack, box))?.state === "up", `${box} takes calls again`);
  }
  expect((await edgeView(stack))?.boxes.map(({ warning }) => warning)).toEqual([null, null]);
  print("releases", byBox(calls));
});
