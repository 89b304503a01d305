// A box whose servers can be harmed: how a test reaches them behind their agent's back, and sees that nothing is left.
import { BoxHealth } from "../../../shared/health.ts";
import type { Switches } from "../../sim/llama/switches.ts";
import type { State } from "../../sim/start.ts";
import { figure, type AgentAddress } from "./agent-call.ts";
import { until } from "../../support/until.ts";

export interface HarmedBox extends AgentAddress {
  readonly llamaApiKey: string;
  readonly ports: readonly number[];
  url(port: number): string;
  controlUrl(port: number): string;
  /** Sends a signal to a server, of which PM2 starts another, which must load. @returns the process it was sent to */
  signal(port: number, signal: NodeJS.Signals): Promise<number>;
  /** How long a server loads from its next start on, milliseconds. */
  loadIn(port: number, ms: number): Promise<void>;
}

/** Twice a real 8B's, so that 64 clients are served soon even on a slow machine: no queue may outlast its 60 s. */
export const PACE = { tokensPerSecond: 90, promptTokensPerSecond: 4_000 } as const;

/** Servers that the agent uses. */
export async function readyPorts({ agentUrl }: AgentAddress): Promise<number[]> {
  try {
    const health = BoxHealth.parse(await (await fetch(`${agentUrl}/healthz`)).json());
    return health.servers.filter(({ state }) => state === "ready").map(({ port }) => port);
  } catch {
    return [];
  }
}

/** What of any call is still there: slots at work and sockets at the servers, leases and waiting calls at the agent. */
export async function leftOver(box: HarmedBox): Promise<Record<string, number>> {
  const states = await Promise.all(box.ports.map((port) => stateOf(box, port)));
  const sum = (of: (state: State) => number): number => states.reduce((all, state) => all + of(state), 0);
  const slots = (use: string): Promise<number> => figure(box, "isha_slots", `use="${use}"`);
  return {
    slotsAtWork: sum(({ generating, deferred }) => generating + deferred),
    sockets: sum(({ openSockets }) => openSockets),
    leased: await slots("leased"),
    awaiting: await slots("awaiting"),
    foreign: await slots("foreign"),
    queued: await figure(box, "isha_queued"),
  };
}

/** Waits until nothing is left, of a storm or of anything else. */
export async function expectCalm(box: HarmedBox): Promise<void> {
  const isCalm = async (): Promise<boolean> =>
    Object.values(await leftOver(box)).every((count) => count === 0);
  await until(() => isCalm().catch(() => false), "no slot at work, no socket, no lease, no waiting call");
}

export async function stateOf(box: Pick<HarmedBox, "controlUrl">, port: number): Promise<State> {
  return (await (await fetch(`${box.controlUrl(port)}/state`)).json()) as State;
}

export async function switchOn(
  box: Pick<HarmedBox, "controlUrl">,
  port: number,
  switches: Partial<Switches>,
): Promise<void> {
  const response = await fetch(`${box.controlUrl(port)}/switches`, {
    method: "POST",
    body: JSON.stringify(switches),
  });
  if (!response.ok) throw new Error(await response.text());
}
