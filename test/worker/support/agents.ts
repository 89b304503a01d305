// The agent's side of the link for tests: a real WebSocket into the real fleet object, and the frames that it received.
import { env } from "cloudflare:workers";
import { expect, onTestFinished } from "vitest";
import type { LinkedAgent } from "../../../worker/fleet/object/box-reports.ts";
import {
  AgentFrame,
  EdgeFrame,
  LINK_BOX_HEADER,
  LINK_FLEET_HEADER,
  type Snapshot,
} from "../../../shared/wire.ts";
import type { Fleet } from "../../../worker/fleet/object/fleet-object.ts";
import { helloFrame, serverFrame, snapshotFrame } from "../../shared/support/frames.ts";
import { untilHolds } from "./until.ts";

export type FleetStub = DurableObjectStub<Fleet>;

/** Hash of the edge's fleet file, as the object knows it. */
export const FLEET_HASH = "f".repeat(64);

/** A fleet object that no other test uses. */
export function newFleet(): FleetStub {
  return env.FLEET.getByName(`test-${crypto.randomUUID()}`);
}

export interface Agent {
  readonly frames: EdgeFrame[];
  /** Code and reason of the close frame, once it has arrived. */
  readonly closed: { code: number; reason: string }[];
  readonly raw: string[];
  send(frame: unknown): void;
  /** Sends a frame unchanged. */
  sendRaw(frame: string | ArrayBuffer): void;
  close(code?: number, reason?: string): void;
}

export function agentOn(socket: WebSocket): Agent {
  const agent: Agent = {
    frames: [],
    closed: [],
    raw: [],
    send: (frame) => socket.send(JSON.stringify(frame)),
    sendRaw: (frame) => socket.send(frame),
    close: (code, reason) => socket.close(code, reason),
  };
  socket.addEventListener("message", ({ data }) => {
    agent.raw.push(String(data));
    if (data !== "pong") agent.frames.push(EdgeFrame.parse(JSON.parse(String(data))));
  });
  socket.addEventListener("close", ({ code, reason }) => void agent.closed.push({ code, reason }));
  socket.accept();
  onTestFinished(() => {
    if (agent.closed.length === 0) socket.close(1000, "the test is over");
  });
  return agent;
}

export async function dial(fleet: FleetStub, box = "north"): Promise<Agent> {
  const { webSocket } = await fleet.fetch("https://fleet/link", {
    headers: { upgrade: "websocket", [LINK_BOX_HEADER]: box, [LINK_FLEET_HEADER]: FLEET_HASH },
  });
  if (webSocket === null) throw new Error("no link");
  return agentOn(webSocket);
}

/** An agent whose hello the object has handled. */
export async function linked(fleet: FleetStub, box = "north", epoch = "epoch-1"): Promise<Agent> {
  const agent = await dial(fleet, box);
  agent.send(hello({ box, epoch }));
  await untilHolds(async () => {
    const boxes = await fleet.boxes();
    expect(boxes.find((each) => each.box === box)?.agents.map((each) => each.epoch)).toContain(epoch);
  });
  return agent;
}

export function hello(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...helloFrame({ fleetHash: FLEET_HASH }), ...more };
}

/** A busy server. */
export function linkServer(
  port: number,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const figures = { waitMs: 0, tokensPerSecond: 31.5, firstTokenP50Ms: 120, firstTokenP95Ms: 480 };
  return { ...serverFrame({ port, busy: 1, ...figures, gpuGib: 6.25, restarts: 0 }), ...more };
}

export function snapshot(seq: number, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...snapshotFrame({ seq }), servers: [linkServer(9000)], ...more };
}

/** A snapshot as the edge parses it. */
export function readSnapshot(seq: number, more: Readonly<Record<string, unknown>> = {}): Snapshot {
  const frame = AgentFrame.parse(snapshot(seq, more));
  if (frame.t !== "snapshot") throw new Error("no snapshot");
  return frame;
}

/** An agent as the fleet object reports it: seen a second ago, linked for a minute. */
export function linkedAgent(more: Partial<LinkedAgent> = {}): LinkedAgent {
  return {
    epoch: "epoch-1",
    version: "1.2.3",
    linkedForMs: 60_000,
    lastSeenAgoMs: 1_000,
    leaving: false,
    ports: [9000],
    models: ["Model-1"],
    warning: null,
    snapshot: readSnapshot(1),
    snapshotAgoMs: 1_000,
    ...more,
  };
}
