// An edge between two releases of the agent, as during an upgrade (agents first, the edge after) and on the way back: one
// box runs the next version of both contracts, the other the previous one.
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../../scripts/paths.ts";
import { freePort } from "../../../scripts/stack/ports.ts";
import { ProgramSet } from "../../../scripts/stack/program-set.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import { CALL_VERSION } from "../../../shared/call-headers.ts";
import { WIRE_VERSION } from "../../../shared/wire.ts";
import { print, readStream } from "../support/agent-call.ts";
import type { Stack } from "../support/ask.ts";
import { admin, byBox, callEdge, edgeBox, edgeView, FLEET_FILE, type Streamed } from "../support/boxes.ts";
import { AGENT_PARTS, changedCopy, startCopiedAgent, type ChangedCopy } from "../support/changed-copy.ts";
import { until } from "../../support/until.ts";

const RELEASES = [
  { box: "north", step: 1 },
  { box: "south", step: -1 },
] as const;

let stack: Stack;
const copies: ChangedCopy[] = [];
const agents = new ProgramSet({ cwd: ROOT, onLine: undefined, onExit: undefined });

beforeAll(async () => {
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
  for (const copy of copies) await copy.remove();
});

/** Starts a copy of the agent whose contracts have other versions, and whose hello has a field that the edge lacks. */
async function startRelease(box: string, step: number, port: number): Promise<void> {
  const copy = await changedCopy(AGENT_PARTS, [
    {
      file: "shared/wire.ts",
      from: `WIRE_VERSION = ${WIRE_VERSION};`,
      to: `WIRE_VERSION = ${WIRE_VERSION + step};`,
    },
    {
      file: "shared/call-headers.ts",
      from: `CALL_VERSION = ${CALL_VERSION};`,
      to: `CALL_VERSION = ${CALL_VERSION + step};`,
    },
    {
      file: "origin-agent/link/link.ts",
      from: "v: WIRE_VERSION,",
      to: `v: WIRE_VERSION, later: ["a field"],`,
    },
  ]);
  copies.push(copy);
  await startCopiedAgent(agents, stack, { copy, box, port });
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
