// An agent that is frozen (SIGSTOP) with a call in flight: its caller gets an answer, its box is passed by, and it serves
// again once it continues. Edge and agents are copies with shorter waits.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../../scripts/paths.ts";
import { freePort } from "../../../scripts/stack/ports.ts";
import { ProgramSet } from "../../../scripts/stack/program-set.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import {
  byBox,
  callEdge,
  edgeBox,
  edgeView,
  FLEET_FILE,
  serverState,
  setSwitches,
  type Streamed,
} from "../support/boxes.ts";
import { print } from "../support/agent-call.ts";
import type { Stack } from "../support/ask.ts";
import {
  AGENT_PARTS,
  changedCopy,
  limit,
  startCopiedAgent,
  type ChangedCopy,
} from "../support/changed-copy.ts";
import { until } from "../../support/until.ts";

/** Serves `Clinical`. */
const PORT = 8085;
const BOXES = ["north", "south"] as const;

let stack: Stack;
let copies: ChangedCopy[] = [];
let northPid = 0;
const agents = new ProgramSet({ cwd: ROOT, onLine: undefined, onExit: undefined });

beforeAll(async () => {
  copies = [
    // Several pings and snapshots are due before a box counts as silent, also on a slow machine.
    await changedCopy(AGENT_PARTS, [
      limit("LINK_PING_MS", "10_000", "1_000"),
      limit("SNAPSHOT_MAX_MS", "15_000", "1_000"),
    ]),
    await changedCopy(
      ["worker", "shared", "fleet.config.ts"],
      [limit("BOX_HEADERS_WAIT_MS", "60_000", "10_000"), limit("LINK_SILENT_MS", "30_000", "10_000")],
    ),
  ];
  const [agent, edge] = copies as [ChangedCopy, ChangedCopy];
  await writeFile(
    join(edge.root, "fleet.config.ts"),
    `export { default } from ${JSON.stringify(join(ROOT, FLEET_FILE))};\n`,
  );
  const ports = { north: await freePort(), south: await freePort() };
  stack = await startStack({
    fleetFile: FLEET_FILE,
    workerEntry: join(edge.root, "worker/index.ts"),
    agents: false,
    boxOrigins: Object.fromEntries(BOXES.map((box) => [box, `http://127.0.0.1:${ports[box]}`])),
    simulator: { tokensPerSecond: 0, promptTokensPerSecond: 100_000 },
  });
  for (const box of BOXES) {
    const pid = await startCopiedAgent(agents, stack, { copy: agent, box, port: ports[box] });
    if (box === "north") northPid = pid;
  }
  await until(async () => {
    const boxes = (await edgeView(stack))?.boxes ?? [];
    return boxes.every(
      ({ state, servers }) => state === "up" && servers.every((one) => one.state === "ready"),
    );
  }, "both boxes are up");
});
afterAll(async () => {
  await agents.endAll();
  await stack?.stop();
  for (const copy of copies) await copy.remove();
});

/** Sends calls that don't end until north has one. */
async function inFlightOnNorth(): Promise<Promise<Streamed>[]> {
  for (const box of BOXES) await setSwitches(stack, box, PORT, { stall: true });
  const calls: Promise<Streamed>[] = [];
  await until(async () => {
    if ((await serverState(stack, "north", PORT)).generating > 0) return true;
    if (calls.length < 3) calls.push(callEdge(stack, { tokens: 1, stream: false }));
    return false;
  }, "north has a call");
  return calls;
}

test("a frozen agent costs its callers a 504, then no call: another box serves, and it serves again once it continues", async () => {
  const calls = await inFlightOnNorth();
  process.kill(northPid, "SIGSTOP");
  // South answers its own calls.
  await setSwitches(stack, "south", PORT, { stall: false });
  const ended = await Promise.all(calls);
  const onNorth = ended.filter(({ box }) => box !== "south");
  expect(onNorth.length).toBeGreaterThan(0);
  for (const { status, text } of onNorth) {
    const { error } = JSON.parse(text) as { error: Record<string, unknown> };
    expect([status, error["code"], error["type"]]).toEqual([504, "upstream_timeout", "timeout_error"]);
    expect(error["request_id"]).toEqual(expect.any(String));
  }

  await until(async () => (await edgeBox(stack, "north"))?.state === "silent", "north's link is silent");
  await until(async () => (await callEdge(stack, { tokens: 1 })).box === "south", "the edge goes by that");
  const passed = await Promise.all(Array.from({ length: 6 }, () => callEdge(stack, { tokens: 1 })));
  expect(byBox(passed)).toEqual({ south: 6 });

  process.kill(northPid, "SIGCONT");
  await setSwitches(stack, "north", PORT, { stall: false });
  await until(async () => (await callEdge(stack, { tokens: 1 })).box === "north", "north serves again");
  print("frozen", { ended: ended.map(({ status, box }) => [status, box]), passed: byBox(passed) });
});
